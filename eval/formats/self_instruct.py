"""Self-Instruct: ordinary tasks with answers by people (Wang et al. 2023, arXiv 2212.10560).

seed_tasks.jsonl (id, name, instruction, instances, is_classification) and user_oriented_instructions.jsonl (id,
motivation_app, instruction, instances) of github.com/yizhongw/self-instruct. Apache-2.0; the authors ask that the
second be used for evaluation alone. All are benign.

The prompt is the instruction, and after an empty line the instance's input where there is one; the reference is its
output. Further instances of a task are items of the same group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, name, optional_text, text


def _drafts(record: Record, _wish: Wish) -> Iterator[Draft]:
    task, instruction, category = name(record, "id"), text(record, "instruction"), _category(record)
    for number, instance in enumerate(_instances(record)):
        fields = Record(record.path, record.place, instance)
        given = instance.get("input") or None
        yield Draft(
            key=task if number == 0 else f"{task}-{number}",
            kind="benign",
            messages=user(instruction if given is None else f"{instruction}\n\n{text(fields, 'input')}"),
            category=category,
            group=task,
            reference=text(fields, "output"),
        )


def _instances(record: Record) -> list[dict[str, Any]]:
    value = record.fields.get("instances")
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        cure = 'write [{"input": …, "output": …}]'
        raise record.wrong("`instances` is not a list of inputs and outputs", value=value, cure=cure)
    return value


def _category(record: Record) -> tuple[str, ...]:
    app = optional_text(record, "motivation_app")
    if app is not None:
        return ("user-oriented", app)
    return ("seed task", "classification" if record.fields.get("is_classification") else "generation")


FORMAT = Format(
    title="Self-Instruct",
    key="id",
    columns=frozenset({"id", "instruction", "instances"}),
    licence="Apache-2.0",
    drafts=_drafts,
)
