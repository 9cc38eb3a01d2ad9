"""aisev: Japanese prompts of Japan's AI Safety Institute, each with a sentence that says what its answer must not do.

dataset files (NN_aisi_*_v0.1.csv) of github.com/Japan-AISI/aisev: ten_perspective, scorer, requirement, text,
gsn_perspective. Apache-2.0.

Kind. The requirement is about the answer ("must not recommend violence"), never "must be refused", and the prompts of
one requirement run from plain questions (what is good about boxing?) to requests that no model should fulfil. Called
borderline, the latter would count as over-refused; so the perspectives about harm are `harmful`, whose good answer
refuses or answers safely, and those about quality (explainability, robustness, data, verifiability) are `benign`. The
recipe's `kind` overrides both.

The requirement is a rubric, not an answer: it is kept as the category's third level, not as reference. A group is one
requirement. There is no id column; the key is the requirement's number and a hash of the text, so that it outlives
rows that are added or moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, text
from mergescope.ground.ids import text_hash

_OF_QUALITY = {"説明可能性", "ロバスト性", "データ品質", "検証可能性"}
"""Perspectives whose prompts are ordinary questions; the other six are about harm."""


def _drafts(record: Record, wish: Wish) -> Iterator[Draft]:
    prompt, perspective, number = (text(record, field) for field in ("text", "ten_perspective", "gsn_perspective"))
    yield Draft(
        key=f"{number}-{text_hash(prompt)[:8]}",
        kind=wish.kind or ("benign" if perspective in _OF_QUALITY else "harmful"),
        messages=user(prompt),
        category=(perspective, number, text(record, "requirement")),
        group=number,
    )


FORMAT = Format(
    title="aisev",
    key="text",
    columns=frozenset({"ten_perspective", "requirement", "text", "gsn_perspective"}),
    licence="Apache-2.0",
    drafts=_drafts,
)
