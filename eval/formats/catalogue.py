"""All formats by the name that a recipe gives them, and which ones a file's columns fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from eval.config import FormatName
from eval.formats import (
    aisev,
    answercarefully,
    do_not_answer,
    jcommonsenseqa,
    llm_jp_judge,
    mt_bench,
    own,
    self_instruct,
    xstest,
)
from eval.formats.draft import Format

FORMATS: Mapping[FormatName, Format] = {
    "mergescope": own.FORMAT,
    "xstest": xstest.FORMAT,
    "aisev": aisev.FORMAT,
    "do-not-answer": do_not_answer.FORMAT,
    "mt-bench": mt_bench.FORMAT,
    "answercarefully": answercarefully.FORMAT,
    "answercarefully-borderline": answercarefully.BORDERLINE,
    "llm-jp-judge": llm_jp_judge.FORMAT,
    "self-instruct": self_instruct.FORMAT,
    "jcommonsenseqa": jcommonsenseqa.FORMAT,
}


def formats_of(columns: Collection[str]) -> list[FormatName]:
    """The formats whose columns are all there; several where columns alone do not tell."""
    return [name for name, form in FORMATS.items() if form.columns <= set(columns)]
