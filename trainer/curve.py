"""A training's curve: a point for each optimizer step, appended to a file while it runs, so that pages can show it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergescope.ground.files import write_atomic

CURVE = "curve.jsonl"
"""One JSON object a line: `step` (from 1) with `loss` and what else the method tells of it, or with `held_out`."""
HELD_OUT = "held_out"
"""Loss on the triples that are not trained on."""
DIGITS = 5
Point = dict[str, float]


def point_of(entry: Mapping[str, Any], metrics: Mapping[str, str]) -> Point | None:
    """The point that an entry of the library's log holds; None where it holds none.

    metrics: names of the log's values, and how they are called here; the loss is always among them.
    """
    step = {"step": int(entry["step"])}
    if "loss" in entry:
        names = {"loss": "loss", **metrics}
        return {**step, **{short: _rounded(entry[name]) for name, short in names.items() if name in entry}}
    return {**step, HELD_OUT: _rounded(entry["eval_loss"])} if "eval_loss" in entry else None


def points_of(log: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> list[Point]:
    """All points of a training's log, in order."""
    return [point for entry in log if (point := point_of(entry, metrics)) is not None]


def of_steps(points: Sequence[Point]) -> list[Point]:
    """As a manifest keeps them: the points of the steps, in order, without their numbers."""
    return [{name: value for name, value in point.items() if name != "step"} for point in points if "loss" in point]


def of_held_out(points: Sequence[Point]) -> list[Point]:
    """As a manifest keeps them: step and loss of each look at the triples that are not trained on."""
    return [{"step": point["step"], "loss": point[HELD_OUT]} for point in points if HELD_OUT in point]


def write_curve(work: Path, points: Sequence[Point]) -> None:
    """Begin the file anew with the points so far: none, or those up to the checkpoint that a training goes on from."""
    write_atomic(work / CURVE, "".join(map(_line, points)))


def append_point(work: Path, point: Point) -> None:
    """One more point; a kill may tear its line, which the next `write_curve` mends."""
    with (work / CURVE).open("a", encoding="utf-8") as stream:
        stream.write(_line(point))


def read_curve(work: Path) -> list[Point]:
    """The points so far; none where there is no file. A last line that is still being written is left out."""
    try:
        lines = (work / CURVE).read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _line(point: Point) -> str:
    return json.dumps(point, allow_nan=False) + "\n"


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS)
