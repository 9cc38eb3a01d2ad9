"""Where a study stands: stages, the work going on, and what the results file holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.store import open_store
from mergescope.ground.files import read_json
from mergescope.lock import holder
from mergescope.stages import PROGRESS, stages_of
from mergescope.study import Study

_COUNTS = {
    "checkpoints": "SELECT count(DISTINCT checkpoint_id) FROM study_checkpoint WHERE study_id = $study",
    "prompts": "SELECT count(*) FROM study_set JOIN set_item USING (set_id) WHERE study_id = $study",
    "answers": "SELECT count(*) FROM answer JOIN study_checkpoint "
    "USING (checkpoint_id, sampling_id) WHERE study_id = $study",
    "answers that failed": "SELECT count(*) FROM answer JOIN study_checkpoint "
    "USING (checkpoint_id, sampling_id) WHERE study_id = $study AND error_kind IS NOT NULL",
    "judgements": "SELECT count(*) FROM judgement JOIN study_judge USING (judge_id) WHERE study_id = $study",
    "judgements unscored": "SELECT count(*) FROM judgement JOIN study_judge USING (judge_id) "
    "WHERE study_id = $study AND error_kind IS NOT NULL",
}
"""What the results file holds of a study; judgements of equal answers are shared between studies."""


def show(study: Study, store: Path) -> None:
    """Print the study's state as plain lines."""
    for line in status(study, store):
        print(line)


def status(study: Study, store: Path) -> Iterator[str]:
    """The study's state, line by line; raises StoreError for a results file that is not ours."""
    yield f"study {study.recipe.study} ({study.file})"
    for stage in stages_of(study):
        if stage.folder is not None:
            yield f"  {stage.name:8} {'made' if stage.is_made(study) else 'missing'}"
    yield f"  running  {_running(study)}"
    if not store.exists():
        yield f"  results  none yet in {store}"
        return
    with open_store(store, read_only=True) as connection:
        counts = list(_counts(connection, study.recipe.study))
    yield f"  results  {', '.join(counts) or 'none of this study'} in {store}"


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
    return f"{who}: {progress['stage']}, {progress['task']} {done}{left} ({age:.0f} s ago)"


def _counts(connection: DuckDBPyConnection, name: str) -> Iterator[str]:
    for (study_id,) in connection.execute("SELECT study_id FROM study WHERE name = ?", [name]).fetchall():
        for what, query in _COUNTS.items():
            row = connection.execute(query, {"study": study_id}).fetchone()
            count = row[0] if row else 0
            if count or ("failed" not in what and "unscored" not in what):
                yield f"{count} {what}"
