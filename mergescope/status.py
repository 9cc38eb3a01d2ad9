"""Where a study stands: stages, made pairs, the work going on, and what the results file holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.store import open_store
from eval.tally import tally
from eval.trust import judge_trusts
from mergescope.effects import recipe_hash
from mergescope.ground.errors import printable
from mergescope.ground.files import read_json
from mergescope.ground.progress import PROGRESS
from mergescope.ground.units import amounts_text
from mergescope.lock import holder
from mergescope.stages import stages_of
from mergescope.study import Study
from trainer.pairs.pair_set import pair_sets
from trainer.pairs.review import counts_text
from trainer.training_data import purged


def show(study: Study, store: Path) -> None:
    """Print the study's state as plain lines."""
    for line in status(study, store):
        print(line)


def status(study: Study, store: Path) -> Iterator[str]:
    """The study's state, line by line.

    Raises StoreError for a results file that is not ours, and DataError for a set of made pairs that cannot be read.
    """
    yield f"study {study.recipe.study} ({study.file})"
    for stage in stages_of(study):
        if stage.folder is not None:
            yield f"  {stage.name:9} {'made' if stage.is_made(study) else 'missing'}{_purged(study, stage.name)}"
    for pairs in pair_sets(study.folder):
        yield printable(f"  pairs     {pairs.name}: {counts_text(pairs.reviewed())}")
    yield f"  running   {_running(study)}"
    if not store.exists():
        yield f"  results   none yet in {store}"
        return
    with open_store(store, read_only=True) as connection:
        for line in _results(connection, study):
            yield f"  results   {line} in {store}"
        for line in _judges(connection, study):
            yield f"  judge     {line}"


def _purged(study: Study, role: str) -> str:
    """Whether toxic texts that the training of a role needs were deleted."""
    train = study.recipe.train
    if train == "skip" or role not in ("safe", "useful"):
        return ""
    section = train.safe if role == "safe" else train.useful
    gone, total = purged(map(study.resolve, section.triples), unreviewed=train.unreviewed)
    return f", training data purged: {gone:,} of {total:,} rejected answers" if gone else ""


def _running(study: Study) -> str:
    who = holder(study.folder)
    if who is None:
        return "no"
    path = study.folder / PROGRESS
    if not path.exists():
        return who
    progress: dict[str, Any] = read_json(path)
    age = time.time() - progress["heartbeat"]
    left = "" if progress["remaining_s"] is None else f", {progress['remaining_s']:.0f} s left"
    done = f"{progress['done']}/{progress['total']} {progress['unit']}".strip()
    beside = "".join(f", {name} {_beside(b)}" for name, b in progress["beside"].items())
    errors = "".join(f", {kind} {count}" for kind, count in sorted(progress["errors"].items()))
    return f"{who}: {progress['stage']}, {progress['task']} {done}{beside}{errors}{left} ({age:.0f} s ago)"


def _beside(work: dict[str, Any]) -> str:
    used = amounts_text(work["used"])
    return f"{work['done']}/{work['total']}" + (f" ({used})" if used else "")


def _results(connection: DuckDBPyConnection, study: Study) -> Iterator[str]:
    """The results of the recipe as it was evaluated last; a changed one says so."""
    found = connection.execute(
        "SELECT study_id, recipe_hash FROM study WHERE name = ?", [study.recipe.study]
    ).fetchall()
    if not found:
        yield "none of this study"
    for study_id, evaluated in found:
        changed = "" if evaluated == recipe_hash(study.recipe) else " (of the recipe before its last changes)"
        yield printable(f"{tally(connection, study_id).text}{changed}")


def _judges(connection: DuckDBPyConnection, study: Study) -> Iterator[str]:
    """Whether each judge of the study can be trusted, and by what labels."""
    found = connection.execute("SELECT study_id FROM study WHERE name = ?", [study.recipe.study]).fetchall()
    for (study_id,) in found:
        for judge in judge_trusts(connection, study_id):
            by = "; ".join(f"{one.labels}: kappa {one.text}" for one in judge.calibrations)
            yield printable(f"{judge.name}: {judge.trust}{f' ({by})' if by else ''}")
