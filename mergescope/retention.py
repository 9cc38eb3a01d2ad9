"""Opens a study for a command; toxic texts whose time is over are deleted before the command does anything."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mergescope.lock import locked
from mergescope.study import Study, load_study
from trainer.quarantine import FOLDER, ToxicRef

RETENTION_DAYS = 90
"""Of recipes that say nothing; the default of `data.retention_days`."""


def open_study(file: Path) -> Study:
    """Read a recipe, and delete the toxic texts of its study that nothing has used for the retention time.

    Says on stderr how many. While another process uses the quarantine nothing is deleted: the next command does it.
    Raises RecipeError as `load_study` does, and MergescopeError where the quarantine cannot be changed.
    """
    study = load_study(file)
    if (study.folder / FOLDER).is_dir() and (deleted := _delete_overdue(study)):
        print(f"retention: {said(deleted)}", file=sys.stderr)
    return study


def purge(study: Study, *, now: bool) -> list[ToxicRef]:
    """Delete unused toxic texts; now: all that no unfinished training needs, however young.

    Raises MergescopeError where another process works on the study, or with its toxic texts.
    """
    with locked(study.folder):
        return _delete(study, 0 if now else retention_days(study))


def retention_days(study: Study) -> int:
    """Days after its last use for which the study keeps a toxic text."""
    return RETENTION_DAYS if study.recipe.data is None else study.recipe.data.retention_days


def said(deleted: Sequence[ToxicRef]) -> str:
    """What was deleted, in numbers."""
    return f"{len(deleted):,} toxic {'text' if len(deleted) == 1 else 'texts'} deleted"


def _delete_overdue(study: Study) -> list[ToxicRef]:
    from trainer.quarantine_lock import InUseError

    try:
        return _delete(study, retention_days(study))
    except InUseError:
        return []


def _delete(study: Study, days: float) -> list[ToxicRef]:
    from trainer.retention import delete_unused

    return delete_unused(study.folder, datetime.now(UTC), days)
