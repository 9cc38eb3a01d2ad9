"""A study of prompt sets in their makers' forms, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eval.formats.samples import RECORDS
from tests.eval.formats.test_formats import write
from tests.mergescope.conftest import cli
from tests.mergescope.recipes import changed, own_models, written
from tests.mergescope.results import rows

ANSWERS = [{"question_id": number, "choices": [{"turns": ["名所", "駅"]}]} for number in (1, 2)]


@pytest.mark.deep
def test_published_forms_and_a_larger_limit(own_study: Callable[..., Path]) -> None:
    sets = [
        {"name": "xstest", "path": "x.csv", "format": "xstest", "limit": 1},
        {"name": "mt-bench", "path": "q.jsonl", "format": "mt-bench", "references": "a.jsonl"},
        {"name": "aisev", "path": "j.parquet", "format": "aisev"},
    ]
    recipe = changed(changed(own_models(), "eval.sets", sets), "merge.ratios", [0.5])
    file = own_study(recipe)
    folder, store = file.parent, file.parent / "results.duckdb"
    for name, records in (("x.csv", "xstest"), ("q.jsonl", "mt-bench"), ("j.parquet", "aisev")):
        write(folder / name, RECORDS[records])
    write(folder / "a.jsonl", ANSWERS)
    done = cli("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    before = rows(store)
    assert {row[1]: row[4] for row in before["prompt_set"]} == {
        "xstest": "CC-BY-4.0",
        "mt-bench": "Apache-2.0",
        "aisev": "Apache-2.0",
    }
    assert any(row[1] == "[1]\n名所\n\n[2]\n駅" for row in before["text"])
    written(folder, changed(recipe, "eval.sets.0.limit", 2))
    again = cli("run", "recipe.yaml", cwd=folder)
    assert again.returncode == 0, again.stderr
    after = rows(store)
    assert set(before["answer"]) < set(after["answer"])
    assert len(after["prompt"]) - len(before["prompt"]) in (1, 2)  # the other group: one prompt, or a contrast pair
