"""A recipe beside a store of invented results that belong to it."""

from __future__ import annotations

from pathlib import Path

from eval.store import open_store
from mergescope.study import Study, load_study
from mergescope.sweep import study_id
from tests.eval.synthetic_store import make_synthetic_store
from tests.mergescope.recipes import changed, own_models, written

STORE = "results.duckdb"


def judged_study(folder: Path, *, prompts: int) -> Study:
    """Eleven ratios and three references, judged; the recipe asks for the same ratios."""
    make_synthetic_store(folder / STORE, prompts=prompts, estimates=False)
    raw = changed(own_models(), "merge.ratios", {"start": 0, "stop": 1, "steps": 11})
    study = load_study(written(folder, raw))
    with open_store(folder / STORE, read_only=False) as connection:
        for table in ("study", "study_checkpoint", "study_set", "study_judge"):
            connection.execute(f"UPDATE {table} SET study_id = ?", [study_id(study)])
    return study
