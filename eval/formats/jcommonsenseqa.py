"""JCommonsenseQA: Japanese questions with five choices, of which one is right (Kurihara et al. 2022, JGLUE).

train-*.json and valid-*.json of github.com/yahoojapan/JGLUE: q_id, question, choice0 to choice4, label (0 to 4). One
object a line, CC-BY-SA-4.0. All are of kind choice: the prompt asks for the number alone, and the reference is it.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, name, one_of, text

_CHOICES = tuple(f"choice{number}" for number in range(5))
_PROMPT = """\
次の質問に対する最も適切な答えを選択肢から一つ選び、その番号（0〜4）だけを答えてください。

質問：{question}

選択肢：
{choices}"""


def _drafts(record: Record, _wish: Wish) -> Iterator[Draft]:
    key, label = name(record, "q_id"), name(record, "label")
    numbers = tuple(str(number) for number in range(len(_CHOICES)))
    choices = "\n".join(f"{number}: {text(record, field)}" for number, field in enumerate(_CHOICES))
    yield Draft(
        key=key,
        kind="choice",
        messages=user(_PROMPT.format(question=text(record, "question"), choices=choices)),
        category=("JCommonsenseQA",),
        group=key,
        reference=one_of(record, "label", label, numbers),
    )


FORMAT = Format(
    title="JCommonsenseQA",
    key="q_id",
    columns=frozenset({"q_id", "question", *_CHOICES, "label"}),
    licence="CC-BY-SA-4.0",
    drafts=_drafts,
)
