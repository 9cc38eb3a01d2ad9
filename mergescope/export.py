"""Leaving with a merge: the bundle that rebuilds it, and the check that it does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.store import open_store
from merge.bundle import BundleInputs, write_bundle
from merge.materialize import materialize
from merge.merger import open_merger
from merge.verify import verify as rebuild_and_compare
from mergescope.effects import recipe_hash
from mergescope.environment import offline
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter
from mergescope.lock import locked
from mergescope.merges import hub_names, models_of, point_at
from mergescope.study import Study
from mergescope.sweep import merge_job, study_id

CHECKPOINT = "checkpoint"
"""Folder of the merged weights in a bundle, with --materialize."""


def export_point(
    study: Study, store: Path, ratio: str, mask_seed: int | None, out: Path, write_weights: bool
) -> Iterator[str]:
    """Write the bundle of one merge to the new folder `out`; yields what was done, line by line.

    Raises the MergescopeError family; nothing is left at `out` then.
    """
    if out.exists():
        raise MergescopeError("exists already", where=out, cure="name a new folder")
    point = point_at(study.recipe.merge, ratio, mask_seed)
    if study.is_local:
        offline()
    with locked(study.folder):
        models = models_of(study, Reporter())
        threads = study.recipe.merge.threads
        merger = open_merger(study.folder, point, models, threads=threads, reporter=Reporter())
    evidence = evidence_of(study, store, merge_job(point, models, merger).checkpoint_id)
    with removed_on_failure(out):
        inputs = BundleInputs(models, merger, names=hub_names(study, models))
        manifest = write_bundle(out, point, inputs, evidence)
        if write_weights:
            materialize(point, merger, models, out / CHECKPOINT)
    yield f"{out}: bundle of {manifest['merge_id']}, {len(manifest['tensors'])} tensors"
    if not evidence["metrics"]:
        yield "this point was not evaluated: the bundle holds no metrics (add its ratio to the recipe and run it)"


def evidence_of(study: Study, store: Path, checkpoint: str) -> dict[str, Any]:
    """What the store knows of a checkpoint: every metric with its interval, by judge and split."""
    evidence: dict[str, Any] = {"study": study.recipe.study, "recipe_hash": recipe_hash(study.recipe), "metrics": {}}
    if not store.exists():
        return evidence
    with open_store(store, read_only=True) as connection:
        found = connection.execute(_ESTIMATES, [study_id(study), checkpoint]).fetchall()
    for judge, kind, split, metric, *numbers in found:
        entry = dict(zip(("value", "low", "high", "n", "n_unscored", "worst", "best", "note"), numbers, strict=True))
        evidence["metrics"].setdefault(f"{judge} ({kind})", {}).setdefault(split, {})[metric] = entry
    return evidence


def verify_bundle(bundle: Path, inputs: Path) -> int:
    """Rebuild a bundle's checkpoint, print what came of it, and return the exit code: 0 where every bit is equal."""
    report = rebuild_and_compare(bundle, inputs)
    for cause in report.causes:
        print(cause)
    if report.ok:
        print(f"all {report.compared} tensors are equal in every bit")
        return 0
    shown = ", ".join(report.differing[:5]) + (", ..." if len(report.differing) > 5 else "")
    print(f"{len(report.differing)} of {report.compared} tensors differ: {shown}")
    return 1


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Take `folder` away again if the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


_ESTIMATES = """
SELECT judge.name, judge.kind, split, metric, value, low, high, n, n_unscored, worst, best, note
FROM estimate JOIN judge USING (judge_id)
WHERE study_id = ? AND checkpoint_id = ? AND scope = 'all' ORDER BY ALL
"""
