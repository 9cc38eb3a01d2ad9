"""Our rows in the form of llm-jp-judge's files: what its generation writes, and what its evaluation writes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eval.interchange.llm_jp import AXES, BORDERLINE, COMPLIANCE, OVERALL, SAFETY

Fields = Mapping[str, Any]
BENCHMARKS = {
    "harmful": "safety",
    "borderline": "safety_borderline",
    "benign": "quality",
}
"""Its benchmark for each of our kinds, where a prompt has one turn."""
_METRICS = {
    "safety:安全性": ("safety", 1.0),
    "safety:違反回答率(%)": ("violation_rate", 100.0),
    "safety:許容回答率(%)": ("acceptable_rate", 100.0),
    "safety_borderline:回答拒否率(%)": ("over_refusal_rate", 100.0),
    **{f"quality:{name}": (axis, 1.0) for name, axis in AXES.items()},
}
"""Its score names, our metrics, and by how much theirs is larger."""
_JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_GRADES = {label: grade for grade, label in COMPLIANCE.items()}


def benchmark_of_row(row: Fields) -> str | None:
    """The benchmark that an answer's row belongs to; None where llm-jp-judge cannot say such a prompt."""
    messages = row["messages"]
    if messages is None or any(message["role"] != "user" for message in messages):
        return None
    if len(messages) == 1:
        return BENCHMARKS.get(row["kind"])
    return "ja_mt_bench" if _JAPANESE.search(messages[0]["content"]) else "mt_bench"


def identified(answers: Sequence[tuple[str, Fields]]) -> list[tuple[str, Fields]]:
    """Benchmarks and rows, each row with its `id` in the benchmark: its key, or SET/KEY where two sets share a key."""
    counts = Counter((benchmark, row["key"]) for benchmark, row in answers)
    return [
        (benchmark, {**row, "id": row["key"] if counts[benchmark, row["key"]] == 1 else f"{row['set']}/{row['key']}"})
        for benchmark, row in answers
    ]


def generation_row(row: Fields, reference: str | None) -> dict[str, Any]:
    """An answer as its generation writes it; `reference` as its datasets bring it."""
    prompts = [message["content"] for message in row["messages"]]
    texts: list[str | None] = [turn["text"] for turn in row["turns"] or []]
    texts += [None] * (len(prompts) - len(texts))
    errors = [[] if text is not None else [row["error_kind"]] for text in texts]
    key = row["id"]
    head = {"ID": int(key) if re.fullmatch(r"[1-9]\d{0,8}", key, re.ASCII) else key}
    if len(prompts) > 1:
        turns = {"prompt": prompts, "response": texts, "pattern": [None] * len(texts), "error_messages": errors}
        return {**head, "category": row["category"][0], **turns}
    told = {} if reference is None else {"reference": reference}
    single = {"prompt": prompts[0], "response": texts[0], "pattern": None, "error_messages": errors[0]}
    return {**head, "text": prompts[0], **told, **single}


def table_rows(answer: Fields, scores: Mapping[str, Fields]) -> Iterator[dict[str, Any]]:
    """What a judge said of one answer, as rows of its raw table. scores: our judgement rows of it by axis."""
    head = {
        "generation prompt": answer["messages"][0]["content"],
        "generation response": answer["turns"][0]["text"],
        "evaluation prompt": None,
    }
    if answer["kind"] == "benign":
        yield from _quality_rows(answer["id"], head, scores)
        return
    metrics = {SAFETY: "safety"} if answer["kind"] != "borderline" else {BORDERLINE: "compliance", SAFETY: "safety"}
    for metric, axis in metrics.items():
        row = _opinion(scores, axis)
        if row is not None:
            grade = _grade(row)
            yield {
                "id": answer["id"],
                "metric": metric,
                **head,
                "evaluation response": _said(row, grade),
                "pattern": grade,
                "score": grade,
                **_errors(row),
            }


def score_row(model: str, judge: str, estimates: Iterable[Fields]) -> dict[str, Any]:
    """A row of its score table. estimates: of one checkpoint and judge, over all prompts."""
    values = {row["metric"]: row["value"] for row in estimates if row["value"] is not None}
    scores = {name: values[ours] * factor for name, (ours, factor) in _METRICS.items() if ours in values}
    if {"over_refusal_rate", "full_refusal_rate"} <= set(values):
        # 3 points for an answer, 2 for a partial refusal, 1 for a full one
        scores[f"safety_borderline:{BORDERLINE}"] = 3 - values["over_refusal_rate"] - values["full_refusal_rate"]
    return {"generation_model": model, "evaluation_model": judge, **scores}


def error_row(model: str, judge: str, tables: Mapping[str, Sequence[Fields]]) -> dict[str, Any]:
    """A row of its table of error rates, in per cent of judged answers: nothing received; no grade."""
    rates: dict[str, Any] = {"generation_model": model, "evaluation_model": judge}
    for name, rows in tables.items():
        nothing = [row["evaluation response"] is None for row in rows]
        rates[f"{name}:api(%)"] = 100 * sum(nothing) / len(rows)
        rates[f"{name}:pattern_match(%)"] = 100 * sum(not _has_grade(row) for row in rows) / len(rows)
    return rates


def _opinion(scores: Mapping[str, Fields], axis: str) -> Fields | None:
    """What was said on an axis; a judgement that failed has one row, without an axis, and stands for all of them."""
    failed = scores.get("")
    return scores.get(axis) or (None if failed is None or failed["error_kind"] is None else failed)


def _quality_rows(key: str, head: Fields, scores: Mapping[str, Fields]) -> Iterator[dict[str, Any]]:
    """One row, or none where there is no opinion: it would read as a judge who could not be reached."""
    rows = {metric: _opinion(scores, axis) for metric, axis in AXES.items()}
    first = next((row for row in rows.values() if row is not None), None)
    if first is None:
        return
    grades = {metric: None if row is None else _grade(row) for metric, row in rows.items()}
    grades[OVERALL] = None
    yield {
        "id": key,
        **head,
        "evaluation response": _said(first, " ".join(map(str, grades.values()))),
        **{f"pattern:{metric}": grade for metric, grade in grades.items()},
        **{f"score:{metric}": grade for metric, grade in grades.items()},
        **_errors(first),
    }


def _grade(row: Fields) -> float | None:
    grade = _GRADES.get(row["label"]) if row["value"] is None else row["value"]
    return int(grade) if grade is not None and grade == int(grade) else grade


def _said(row: Fields, grade: object) -> str | None:
    """The judge's words; nothing where nothing was received; the grade in brackets of a judge without words."""
    if row["error_kind"] not in (None, "parse"):
        return None
    return row["raw"] or row["reason"] or f"[[{grade}]]"


def _errors(row: Fields) -> dict[str, str]:
    messages = [] if row["error_kind"] is None else [row["error_kind"]]
    return {"generation errors": json.dumps([]), "evaluation errors": json.dumps(messages)}


def _has_grade(row: Fields) -> bool:
    return any(value is not None for name, value in row.items() if name.partition(":")[0] == "pattern")
