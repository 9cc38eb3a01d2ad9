"""Columns of our Parquet files: the same fields as in JSONL, with types."""

from __future__ import annotations

from typing import Any


def schema(name: str) -> Any:
    """pyarrow's schema of `answers`, `judgements` or `metrics`."""
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    called = {"checkpoint_id": text, "checkpoint": text, "ratio": text, "mask_seed": whole}
    judge = {"judge_id": text, "judge": text, "judge_kind": text}
    said = pa.list_(pa.struct({"role": text, "content": text}.items()))
    turns = pa.list_(pa.struct({"text": text, "finish_reason": text, "tokens": whole}.items()))
    likelihood = pa.struct({"log_likelihood": number, "tokens": whole, "bytes": whole}.items())
    columns: dict[str, dict[str, Any]] = {
        "answers": {
            "answer_id": text, **called, "checkpoint_kind": text, "sampling_id": text, "sample": whole, "set": text,
            "set_version": text, "key": text, "kind": text, "category": pa.list_(text), "split": text,
            "prompt_id": text, "messages": said, "turns": turns, "text_id": text, "error_kind": text,
            "likelihood": likelihood,
        },
        "judgements": {
            "judgement_id": text, **judge, "prompt_id": text, "kind": text, "text_id": text,
            "reference_text_id": text, "repeat": whole, "axis": text, "value": number, "label": text, "reason": text,
            "raw": text, "reported_model": text, "tokens": whole, "cost": number, "error_kind": text,
            "prompt_tokens": whole, "completion_tokens": whole, "currency": text, "output": text,
        },
        "metrics": {
            **called, **judge, "metric": text, "scope": text, "split": text, "value": number, "low": number,
            "high": number, "n": whole, "n_unscored": whole, "worst": number, "best": number, "note": text,
        },
    }  # fmt: skip
    return pa.schema(columns[name].items())
