"""Whether a sweep's answers are those of fresh engines on the merged checkpoints, and whether bad swaps are noticed."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.judge_server import ROOT
from benchmarks.sweep_setup import Bench, product, say, store_of, write_recipe
from benchmarks.timed_run import Record
from merge.points import MergePoint


def parity(bench: Bench, study: Path, record: Record, points: list[MergePoint], count: int) -> dict[str, Any]:
    """Stored answers of sweeps in both precisions against fresh engines on the materialized checkpoints."""
    picked = points[1 : -1 : max(1, (len(points) - 2) // count)][:count] or points[:count]
    exact = bench.room / "fp32.yaml"
    write_recipe(bench, exact, "float32", [str(point.ratio) for point in picked])
    records = {"bfloat16": (study, record), "float32": (exact, product(bench, exact)[1])}
    found: dict[str, Any] = {}
    for point in picked:
        folder = materialized(study, point, bench.room / f"merged-{point.ratio}")
        for dtype, (recipe, one) in records.items():
            counted = equal_answers(bench, folder, dtype, recipe, one, point)
            found.setdefault(dtype, {})[str(point.ratio)] = counted
            say(f"parity {dtype} r {point.ratio}", counted)
        shutil.rmtree(folder)
    return found


def equal_answers(
    bench: Bench, folder: Path, dtype: str, study: Path, record: Record, point: MergePoint
) -> dict[str, int]:
    """How many of a merge's stored answers a fresh engine on its checkpoint gives, and how many another merge gave."""
    turn = next(turn for turn in record.turns if turn.ratio == str(point.ratio))
    calls = [(requests, sampling) for requests, sampling, _ in turn.calls]
    asked, given = bench.room / "calls.pickle", bench.room / "given.pickle"
    asked.write_bytes(pickle.dumps(calls))
    _child(bench, "answers", folder, dtype, asked, given)
    fresh = {
        _messages(request.messages): answer.text
        for (requests, _), answers in zip(calls, pickle.loads(given.read_bytes()), strict=True)
        for request, answer in zip(requests, answers, strict=True)
    }
    stored = stored_answers(study, f"ratio = {point.ratio}")
    others = stored_answers(study, f"kind = 'merge' AND ratio <> {point.ratio} ORDER BY ratio DESC")
    return {
        "answers": len(stored),
        "equal": sum(fresh.get(prompt) == text for prompt, text in stored.items()),
        "distinct": len(set(stored.values())),
        "equal_to_those_of_another_ratio": sum(others.get(prompt) == text for prompt, text in stored.items()),
    }


def stored_answers(study: Path, where: str) -> dict[str, str]:
    """Texts by prompt, as the sweep left them in the store."""
    with duckdb.connect(str(store_of(study)), read_only=True) as db:
        rows = db.execute(
            f"""SELECT messages, body FROM answer JOIN checkpoint USING (checkpoint_id) JOIN prompt USING (prompt_id)
            JOIN text USING (text_id) WHERE {where}"""
        ).fetchall()
    found: dict[str, str] = {}
    for messages, body in rows:
        found.setdefault(_messages(json.loads(messages)), body)
    return found


def unswapped(bench: Bench) -> dict[str, Any]:
    """How many swaps with a tensor left behind on purpose were refused, with what the engine said."""
    out = bench.room / "unswapped.json"
    _child(bench, "unswapped", bench.models.safe, bench.models.useful, "bfloat16", out)
    said: dict[str, dict[str, str | None]] = json.loads(out.read_text(encoding="utf-8"))
    say("unswapped", said)
    return {
        way: {"tried": len(lines), "noticed": sum(name in (line or "") for name, line in lines.items())}
        for way, lines in said.items()
    }


def materialized(study: Path, point: MergePoint, out: Path) -> Path:
    """The merge as a checkpoint, from the masks of the sweep."""
    from merge.materialize import materialize
    from mergescope.ground.progress import Reporter
    from mergescope.merges import merger_of, models_of
    from mergescope.study import load_study

    loaded = load_study(study)
    models = models_of(loaded, Reporter())
    materialize(point, merger_of(loaded, models, point, Reporter()), models, out)
    return out


def _child(bench: Bench, *arguments: object) -> None:
    command = [sys.executable, "-m", "benchmarks.fresh_engine", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, env=bench.environment("product"), check=True)


def _messages(messages: Any) -> str:
    return json.dumps([dict(message) for message in messages], ensure_ascii=False, sort_keys=True)
