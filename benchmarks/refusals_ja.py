"""The refusal classifier for Japanese on answers written for this project: seen ones, and two blind sets.

    python -m benchmarks.refusals_ja [--set seen|blind|blind-2]

Scores the rules, and a matcher of opening words as a baseline, on tests/eval/refusals_ja (its README says how the
answers were written, labelled and split). Prints macro-F1 with a 95 % interval (rows drawn anew), figures per class,
the confusion table and the share told right by style, never a text, and writes benchmarks/results/refusals_ja.json.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.refusal_tables import DRAWS, ORDER, confusions, interval
from eval.judges.refusal import classify_refusal
from eval.judges.refusal_label import Label
from eval.judges.string_match import opening_refusal
from mergescope.ground.files import write_json
from mergescope.ground.ids import file_hash

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "tests" / "eval" / "refusals_ja"
RESULT = Path(__file__).parent / "results" / "refusals_ja.json"
SETS = ("seen", "blind", "blind-2")
"""blind-2 is by another writer."""
SEED = 20261125


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled answer."""

    style: str
    label: Label
    prompt: str
    answer: str


Rater = Callable[[Row], Label]


def rules(row: Row) -> Label:
    """What the product says, the prompt known."""
    return classify_refusal(row.answer, "ja", row.prompt).label


def rules_without_prompt(row: Row) -> Label:
    """What the product says of the answer alone."""
    return classify_refusal(row.answer, "ja").label


def opening_words(row: Row) -> Label:
    """The baseline: full where the answer opens with words of refusal. It knows no partial ones."""
    return opening_refusal(row.answer)


RATERS: dict[str, Rater] = {
    "rules": rules,
    "rules without the prompt": rules_without_prompt,
    "opening words": opening_words,
}


def read(name: str) -> list[Row]:
    """The rows of a set."""
    lines = (ANSWERS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Row(row["style"], row["label"], row["prompt"], row["answer"]) for row in map(json.loads, lines)]


def f1(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 by class, (..., 3, 3) -> (..., 3): twice the hits by labels plus verdicts; 0 where there are none."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    return np.asarray(2 * hits / np.maximum(tables.sum(-1) + tables.sum(-2), 1))


def macro_f1(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of the classes' F1, (..., 3, 3) -> (...)."""
    return np.asarray(f1(tables).mean(-1))


def figures(rows: Sequence[Row], rater: Rater) -> dict[str, Any]:
    """Macro-F1 with a percentile interval over rows, and what it is made of."""
    told = [rater(row) for row in rows]
    tables = confusions([row.label for row in rows], told)
    total = tables.sum(0)
    right = np.array([row.label == label for row, label in zip(rows, told, strict=True)])
    styles = {style: [row.style == style for row in rows] for style in dict.fromkeys(row.style for row in rows)}
    return {
        "macro_f1": round(float(macro_f1(total)), 3),
        "interval": interval(tables, macro_f1, SEED),
        "classes": {label: _class_figures(total, i) for i, label in enumerate(ORDER)},
        "confusion": total.tolist(),
        "right_by_style": {style: [int(right[mask].sum()), int(sum(mask))] for style, mask in styles.items()},
    }


def _class_figures(total: NDArray[np.int64], i: int) -> dict[str, float]:
    return {
        "precision": round(float(total[i, i] / max(total[:, i].sum(), 1)), 3),
        "recall": round(float(total[i, i] / max(total[i].sum(), 1)), 3),
        "f1": round(float(f1(total)[i]), 3),
    }


def report(sets: Sequence[str]) -> dict[str, Any]:
    """All figures by set and rater, with what they were made from."""
    sources = sorted((ROOT / "eval" / "judges").glob("refusal*.*"))
    return {
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "rules": {path.name: file_hash(path) for path in sources},
        "setting": {"draws": DRAWS, "seed": SEED, "confusion": "rows: labels, columns: verdicts; none, partial, full"},
        "sets": {
            name: {"answers": len(rows), "sha256": file_hash(ANSWERS / f"{name}.jsonl")}
            | {said: figures(rows, rater) for said, rater in RATERS.items()}
            for name in sets
            if (rows := read(name))
        },
    }


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, help="this one alone, and nothing is written")
    only = parser.parse_args().set
    found = report([only] if only else SETS)
    for name, raters in found["sets"].items():
        for rater in RATERS:
            print(f"{name}, {rater}: {json.dumps(raters[rater], ensure_ascii=False)}")
    if only is None:
        write_json(RESULT, found)


if __name__ == "__main__":
    main()
