"""What a file holds that is to be taken in: answers or judgements, or something else that is called by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from eval.interchange import llm_jp
from eval.interchange.lines import Raw, read_rows
from mergescope.ground.errors import DataError
from mergescope.ground.files import MANIFEST

What = Literal["answers", "judgements"]
_LEAVE_OUT = "leave it out"
_BESIDE = {
    MANIFEST: "says what was exported, and holds no answers or judgements",
    "metadata.json": "says who answered, and holds no answers or judgements",
    "score_table.json": "holds means, which are computed here from the judgements",
    "evaluate_error_rate_table.json": "holds rates of errors, which are computed here from the judgements",
    llm_jp.JUDGE: "says who judged, and is read with the tables beside it",
}
"""Files that an export, or llm-jp-judge, lays beside answers and judgements."""
_OF_JUDGEMENTS = frozenset({"axis", "judgement_id", "judge", "judge_id"})
_OF_METRICS = frozenset({"metric", "scope", "split"})
_OF_LLM_JP = (frozenset({"ID", "prompt", "response"}), frozenset({"id", "metric", "evaluation response"}))


def what_is_in(path: Path, form: str | None) -> What:
    """Whether a file holds answers or judgements, by its name and first row. form: one of FORMS; None: by the suffix.

    Raises DataError for an empty file and for one that is known to hold neither.
    """
    if path.name in _BESIDE and path.is_file():
        raise DataError(_BESIDE[path.name], where=path, cure=_LEAVE_OUT)
    if form == llm_jp.FORM:
        return "judgements" if llm_jp.is_table(path) else "answers"
    if llm_jp.is_table(path) and path.is_file():
        raise _of_llm_jp(path)
    first = next(read_rows(path, form), None)
    if first is None and path.stem in get_args(What):  # an export of nothing
        return "answers" if path.stem == "answers" else "judgements"
    if first is None:
        raise DataError("holds no rows", where=path, cure="give a file with at least one row")
    return _by_fields(path, first)


def _by_fields(path: Path, first: Raw) -> What:
    names = set(first.fields)
    if names >= _OF_METRICS:
        raise DataError("holds metrics, which are computed here from the judgements", where=path, cure=_LEAVE_OUT)
    if any(names >= fields for fields in _OF_LLM_JP):
        raise _of_llm_jp(path)
    return "judgements" if _OF_JUDGEMENTS & names else "answers"


def _of_llm_jp(path: Path) -> DataError:
    return DataError("a file of llm-jp-judge", where=path, cure=f"add --format {llm_jp.FORM}")
