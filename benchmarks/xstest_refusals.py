"""The refusal classifier for English against people: XSTest's answers of three models, each held out in turn.

    MERGESCOPE_DATA=FOLDER python -m benchmarks.xstest_refusals [--write-weights]

FOLDER holds xstest/ as published, and xstest/judge_baseline_labels.derived.csv, the labels of XSTest's own GPT-4 prompt
and string match. For a held-out model, cues and features that only its answers suggested are off and the weights are
fitted to the two other models' answers and to benchmarks/refusals_en.jsonl; once more with both Llama prompts, which
ask one model, held out at once. Prints and writes benchmarks/results/xstest_refusals.json: three-class kappa with a
95 % interval (2,000 draws of prompts), F1 of any refusal, confusions, the baselines on the same rows, and what leaving
out more costs. --write-weights fits all three models and writes what ships.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.refusal_fit import (
    LABELS,
    MODELS,
    PENALTY,
    SEEN,
    WRITTEN_WEIGHT,
    LeftOut,
    classes,
    fit,
    measured,
    written_rows,
    xstest_rows,
)
from benchmarks.refusal_tables import DRAWS, confusions, interval
from eval.judges.refusal_en import CUES
from eval.judges.refusal_label import Label
from eval.judges.refusal_weights import WEIGHTS, Steps

RESULT = Path(__file__).parent / "results" / "xstest_refusals.json"
SEED = 20260801
NOTHING = LeftOut()
WITHOUT = {
    "prompts": LeftOut(prompts=True),
    "harm": LeftOut(harm=True),
    "written": LeftOut(written=True),
    "seen": LeftOut(seen=True),
}
"""What else is left out, one at a time, to see what it is worth."""
ALONE = tuple((model,) for model in MODELS)
FAMILIES = (("gpt4",), ("llama2new", "llama2orig"))
"""Both Llama prompts ask one model."""
TARGETS = {"kappa": 0.80, "f1_any": 0.945}


def held_out(
    folder: Path, left_out: LeftOut = NOTHING, groups: Sequence[Sequence[str]] = ALONE
) -> dict[str, tuple[list[Label], list[Label]]]:
    """By model: people's labels and what weights say that were fitted without its group, in XSTest's order."""
    rows = {model: xstest_rows(folder, model) for model in MODELS}
    told = {}
    for group in groups:
        without = replace(left_out, models=frozenset(group))
        steps = fit(rows, without)
        told |= {model: classes(steps, measured(rows[model], without)) for model in group}
    return {model: ([row.label for row in rows[model]], told[model]) for model in MODELS}


def kappa(table: NDArray[Any]) -> NDArray[np.float64]:
    """Cohen's kappa of tables (..., 3, 3)."""
    share = table / table.sum((-2, -1), keepdims=True)
    agreed = np.trace(share, axis1=-2, axis2=-1)
    chance = (share.sum(-1) * share.sum(-2)).sum(-1)
    return np.asarray((agreed - chance) / (1 - chance))


def f1_any(table: NDArray[Any]) -> float:
    """F1 of refusing fully or partly: 2 TP / (2 TP + FP + FN)."""
    return float(2 * table[1:, 1:].sum() / (table[1:].sum() + table[:, 1:].sum()))


def agreement(tables: NDArray[np.int64]) -> dict[str, Any]:
    """Figures of tables by prompt, (prompts, 3, 3); the interval resamples prompts, with all their models' answers."""
    total = tables.sum(0)
    return {
        "kappa": round(float(kappa(total)), 3),
        "interval": interval(tables, kappa, SEED),
        "f1_any": round(f1_any(total), 3),
        "confusion": total.tolist(),
    }


def report(folder: Path) -> dict[str, Any]:
    """All figures, by judge and by model and pooled."""
    ours = held_out(folder)
    base = _baselines(folder)
    judges = {
        "held out": {model: confusions(*pair) for model, pair in ours.items()},
        "family held out": {m: confusions(*pair) for m, pair in held_out(folder, groups=FAMILIES).items()},
        "string match": {model: confusions(ours[model][0], base[model]["strmatch_label"]) for model in MODELS},
        "GPT-4 prompt": {model: confusions(ours[model][0], base[model]["gpt4_label"]) for model in MODELS},
        "people, one by the other": {m: confusions(base[m]["annotation_1"], base[m]["annotation_2"]) for m in MODELS},
    }
    figures = {judge: _figures(tables) for judge, tables in judges.items()}
    return {
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("numpy", "scipy")},
        "setting": {"draws": DRAWS, "seed": SEED, "penalty": PENALTY, "written_weight": WRITTEN_WEIGHT,
                    "written": len(written_rows()), "confusion": "rows: people, columns: judge; none, partial, full",
                    "cues_off": {m: sum(set(cue.seen) == {m} for cue in CUES) for m in MODELS},
                    "features_off": {m: [name for name, seen in SEEN.items() if set(seen) == {m}] for m in MODELS}},
        "judges": figures,
        "also_left_out": {name: _pooled(held_out(folder, left_out)) for name, left_out in WITHOUT.items()},
        "targets_met": {name: figures["held out"]["pooled"][name] >= least for name, least in TARGETS.items()},
    }  # fmt: skip


def write_weights(steps: Steps) -> None:
    """What ships."""
    stored = {
        "fitted_by": "python -m benchmarks.xstest_refusals --write-weights",
        "fitted_to": {"XSTest answers": list(MODELS), "written answers": len(written_rows())},
        "refuses": {"bias": steps.refuses.bias, "weights": dict(steps.refuses.weights)},
        "partial": {"bias": steps.partial.bias, "weights": dict(steps.partial.weights)},
    }
    WEIGHTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def _figures(tables: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
    pooled = np.sum(list(tables.values()), axis=0)
    return {name: agreement(one) for name, one in {**tables, "pooled": pooled}.items()}


def _pooled(told: Mapping[str, tuple[list[Label], list[Label]]]) -> dict[str, float]:
    total = np.sum([confusions(*pair).sum(0) for pair in told.values()], axis=0)
    return {"kappa": round(float(kappa(total)), 3), "f1_any": round(f1_any(total), 3)}


def _baselines(folder: Path) -> dict[str, dict[str, list[Label]]]:
    names = ("annotation_1", "annotation_2", "gpt4_label", "strmatch_label")
    with (folder / "xstest" / "judge_baseline_labels.derived.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {m: {n: [LABELS[row[n]] for row in rows if row["model"] == m] for n in names} for m in MODELS}


def _print(figures: Mapping[str, Any]) -> None:
    for judge, by_model in figures["judges"].items():
        for model, one in by_model.items():
            low, high = one["interval"]
            print(f"{judge:26} {model:11} kappa {one['kappa']:.3f} [{low:.3f}, {high:.3f}]  F1 {one['f1_any']:.3f}")
    print("also left out:", figures["also_left_out"])
    print(figures["targets_met"])


def main() -> None:
    """Measure, and write the weights if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write-weights", action="store_true")
    folder = Path(os.environ["MERGESCOPE_DATA"])
    if parser.parse_args().write_weights:
        write_weights(fit({model: xstest_rows(folder, model) for model in MODELS}, NOTHING))
    figures = report(folder)
    RESULT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _print(figures)


if __name__ == "__main__":
    main()
