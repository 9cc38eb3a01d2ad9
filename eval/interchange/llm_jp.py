"""The files of llm-jp-judge (github.com/llm-jp/llm-jp-judge) as rows of ours.

Its generation writes `<benchmark>.jsonl` (ID, prompt, response, error_messages), its evaluation a JSON list
`<benchmark>_raw_output_table.json` of what the judge said. Its own means count an API error as 1 and leave out what it
could not parse; here both are unscored, whatever number stands in the row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.interchange.forms import HIGHEST, LOWEST, AnswerLine, JudgementLine, answer_line, judgement_line
from eval.interchange.lines import Raw, read_rows
from eval.interchange.matching import Left

FORM = "llm-jp-judge"
TABLE = "_raw_output_table.json"
JUDGE = "judge.json"
"""Ours, beside its tables: what kind of judge wrote them, for a proxy must never pass as an LLM."""
AXES = {"正確性": "accuracy", "流暢性": "fluency", "詳細性": "detail", "関連性": "relevance"}
"""Its quality metrics and our axes; 総合評価 has none."""
SAFETY, BORDERLINE, OVERALL = "安全性", "ボーダーライン", "総合評価"
COMPLIANCE = {1.0: "full_refusal", 2.0: "partial_refusal", 3.0: "full_answer"}
KINDS = {
    "safety": "harmful",
    "safety_borderline": "borderline",
    "borderline": "borderline",
    "quality": "benign",
    "ja_mt_bench": "benign",
    "mt_bench": "benign",
}
"""Kinds of its benchmarks' items; of any other, whatever the study's sets say."""
_FILTER = re.compile(r"content.?(filter|management)|responsible.?ai", re.IGNORECASE)
_TIMEOUT = re.compile(r"time(d)?.?out", re.IGNORECASE)
_ERROR = re.compile(r"\s*(api\s*)?error\b|\s*エラー", re.IGNORECASE)
_GRADED = re.compile(r"\[\[\d+\]\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a benchmark asked under one ID, and the answer to it."""

    line: AnswerLine
    where: str


def is_table(path: Path) -> bool:
    """Whether a file is what its evaluation wrote of a judge's words."""
    return path.name.endswith(TABLE)


def benchmark_of(path: Path) -> str:
    """The benchmark that a file is about: safety, quality, safety_borderline, ja_mt_bench, ..."""
    return path.name.removesuffix(TABLE) if is_table(path) else path.stem


def generated(paths: Iterable[Path]) -> Iterator[tuple[str, Raw, AnswerLine]]:
    """Every answer of generation files, with benchmark and ID; raises DataError by line."""
    for path in paths:
        for raw in read_rows(path):
            name = f"{benchmark_of(path)} {_field(raw, 'ID')}"
            yield name, raw, _answer(raw)


def judged(paths: Iterable[Path], answers: Mapping[str, AnswerLine], left: Left) -> Iterator[tuple[Raw, JudgementLine]]:
    """Every judgement of evaluation tables, one row an axis. answers: by benchmark and ID. Raises DataError by row."""
    for path in paths:
        model, judge_kind = _evaluation_model(path), _judge_kind(path)
        kind = KINDS.get(benchmark_of(path).removesuffix("_ja").removesuffix("_en"))
        for raw in read_rows(path):
            about = _about(raw, answers.get(f"{benchmark_of(path)} {_field(raw, 'id')}"))
            if about is None:
                left.note("no generation file given here has an answer with their ID", raw.where)
            elif "turn" in raw.fields:
                left.note("MT-Bench's scores from 1 to 10 have no axis here", raw.where)
            else:
                common = {**about, "judge": model, "kind": kind, "judge_kind": judge_kind}
                for verdict in _verdicts(raw):
                    said = _text_or_none(raw, "evaluation response")
                    reason = said if "metric" in raw.fields and "error_kind" not in verdict else None
                    yield raw, judgement_line(Raw(raw.where, {**common, "raw": said, "reason": reason, **verdict}))


def _answer(raw: Raw) -> AnswerLine:
    prompts, texts = _listed(raw, "prompt"), _listed(raw, "response")
    errors = raw.fields.get("error_messages") or []
    if any(not isinstance(prompt, str) for prompt in prompts) or not prompts:
        raw.refuse("`prompt` is neither a text nor a list of texts", raw.fields["prompt"], "name a generation file")
    if any(text is not None and not isinstance(text, str) for text in texts):
        raw.refuse("`response` is neither a text nor a list of texts", raw.fields["response"], "correct it")
    told = [text for text in texts if text is not None]
    failed = len(told) < len(texts)
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": prompt} for prompt in prompts]}
    if told:
        fields["turns"] = [{"text": text} for text in told]
    return answer_line(Raw(raw.where, {**fields, "error_kind": _error_kind(errors) if failed else None}))


def _about(raw: Raw, answer: AnswerLine | None) -> dict[str, Any] | None:
    """Prompt and answer that a row of a table judges: newer tables hold them, others only the ID."""
    if isinstance(raw.fields.get("generation prompt"), str) and isinstance(raw.fields.get("generation response"), str):
        return {"prompt": raw.fields["generation prompt"], "answer": raw.fields["generation response"]}
    if answer is None or answer.body is None:
        return None
    return {"prompt_id": answer.asked, "answer": answer.body}


def _verdicts(raw: Raw) -> Iterator[dict[str, Any]]:
    """The axes of one row with a grade, or with the kind of error."""
    graded = {_metric(name): name for name in raw.fields if name.startswith("pattern:")}
    graded = graded or {_metric(name): name for name in raw.fields if name.startswith("score:")}
    if not graded:
        column = "pattern" if "pattern" in raw.fields else "score"
        graded = {str(_field(raw, "metric")): column}
    told = any(raw.fields.get(column) is not None for column in graded.values())
    for metric, column in graded.items():
        # it reads all quality metrics or none: one that is missing beside others did not apply, in a file of ours
        if metric != OVERALL and (raw.fields.get(column) is not None or not told):
            yield _verdict(raw, metric, column)


def _verdict(raw: Raw, metric: str, column: str) -> dict[str, Any]:
    axis = {SAFETY: "safety", BORDERLINE: "compliance", **AXES}.get(metric)
    if axis is None:
        raw.refuse(f"metric {metric!r} has no axis here", cure=f"known: {', '.join([SAFETY, BORDERLINE, *AXES])}")
    error = _unscored(raw, column)
    if error is not None:
        return {"axis": axis, "error_kind": error}
    grade = _grade(raw, column)
    if axis == "compliance" and grade in COMPLIANCE:
        return {"axis": axis, "label": COMPLIANCE[grade]}
    if axis != "compliance" and LOWEST <= grade <= HIGHEST:
        return {"axis": axis, "value": grade}
    return {"axis": axis, "error_kind": "parse"}


def _unscored(raw: Raw, column: str) -> str | None:
    """Why there is no score: nothing received, an error for an answer, or no grade in the judge's words."""
    said, grade = _text_or_none(raw, "evaluation response"), raw.fields.get(column)
    # a number in the column `score` is also what it gives an answer that it could not have judged
    graded = (grade is not None and column.startswith("pattern")) or (said is not None and _GRADED.search(said))
    if said is None or (_ERROR.match(said) and not graded):
        errors = raw.fields.get("evaluation errors")
        return _error_kind([said or "", errors if isinstance(errors, str) else json.dumps(errors)])
    return "parse" if grade is None else None


def _grade(raw: Raw, column: str) -> float:
    grade = raw.fields[column]
    if isinstance(grade, bool) or not re.fullmatch(r"-?\d+(\.\d+)?", str(grade), re.ASCII):
        raw.refuse(f"`{column}` is no number", grade, "correct it, or write null where there is no score")
    return float(grade)


def _error_kind(messages: object) -> str:
    text = json.dumps(messages, ensure_ascii=False)
    return "filter" if _FILTER.search(text) else "timeout" if _TIMEOUT.search(text) else "server"


def _evaluation_model(table: Path) -> str | None:
    """The judge's name as the score table beside a raw table tells it; None where it does not."""
    beside = table.with_name("score_table.json")
    if not beside.is_file():
        return None
    names = {str(name) for raw in read_rows(beside) if (name := raw.fields.get("evaluation_model"))}
    return names.pop() if len(names) == 1 else None


def _judge_kind(table: Path) -> Any:
    """The judge's kind as a file of ours beside a raw table tells it; llm-jp-judge itself has LLMs alone."""
    beside = table.with_name(JUDGE)
    return _field(next(read_rows(beside), Raw(str(beside), {})), "kind") if beside.is_file() else "llm"


def _metric(column: str) -> str:
    return column.partition(":")[2]


def _listed(raw: Raw, name: str) -> list[Any]:
    value = _field(raw, name)
    return value if isinstance(value, list) else [value]


def _text_or_none(raw: Raw, name: str) -> str | None:
    value = _field(raw, name)
    if value is not None and not isinstance(value, str):
        raw.refuse(f"`{name}` is no text", value, "correct it")
    return value


def _field(raw: Raw, name: str) -> Any:
    if name not in raw.fields:
        raw.refuse(f"`{name}` is missing", cure=f"give a file that {FORM} wrote")
    return raw.fields[name]
