"""Checkpoints of a study whose answers were imported: nothing can ask them, judges judge what is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from eval.interchange.matching import IMPORTED
from eval.records import CheckpointJob
from eval.store import open_store
from mergescope.ground.ids import content_id


def imported_job(name: str, sha256: Sequence[str]) -> CheckpointJob:
    """The checkpoint that imported answers belong to. name: its label; sha256: of the files' bytes, sorted."""
    recipe = {IMPORTED: {"name": name, "sha256": list(sha256)}}
    return CheckpointJob(content_id("c2", recipe), "other", name, None, recipe, weights=None)


def imported_jobs(store: Path, study_id: str) -> list[tuple[CheckpointJob, str]]:
    """The study's imported checkpoints, each with its sampling id."""
    with open_store(store, read_only=True) as connection:
        rows = connection.execute(
            """SELECT checkpoint_id, label, recipe, sampling_id FROM study_checkpoint JOIN checkpoint
            USING (checkpoint_id) WHERE study_id = ? AND role = ? ORDER BY label, checkpoint_id""",
            [study_id, IMPORTED],
        ).fetchall()
    return [
        (CheckpointJob(name, "other", label, None, json.loads(recipe), weights=None), sampling)
        for name, label, recipe, sampling in rows
    ]
