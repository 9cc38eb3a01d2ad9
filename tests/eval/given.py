"""What engines are given and give: tensors at hand as weights, answers in order, a choosy chat template."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from eval.engine import Answer, Engine, Request, Sampling


@dataclass(frozen=True, slots=True)
class Given:
    """These tensors, in their order."""

    tensors: Mapping[str, torch.Tensor]

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        yield from self.tensors.items()


def answered(engine: Engine, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
    """The answers in the order of the requests."""
    given = dict(engine.generate(requests, sampling))
    return [given[i] for i in range(len(requests))]


def picky(model: Path, room: Path) -> Path:
    """A copy of a model whose chat template takes no system turn."""
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    return _with_template(model, room / "picky", refuses + (model / "chat_template.jinja").read_text())


def deaf(model: Path, room: Path) -> Path:
    """A copy of a model whose chat template leaves system turns out and says a sentence of its own, as llm-jp-3's."""
    turns = (
        "規則です。{% for m in messages if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    return _with_template(model, room / "deaf", turns)


def _with_template(model: Path, folder: Path, template: str) -> Path:
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder
