"""Deletes toxic texts of a study on demand, and says what they were: never what they said."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mergescope.ground.errors import MergescopeError, printable
from mergescope.retention import purge, retention_days, said
from mergescope.study import Study
from trainer.quarantine import FOLDER

HASH = 12
"""Hex digits of a hash that are shown; the whole one is in `quarantine/purged`."""


def purge_study(study: Study, *, now: bool, yes: bool) -> Iterator[str]:
    """Delete, and yield a line for each text: hash, length, category; then how many, and what stays.

    now: all texts that no unfinished training needs, else those past their retention time. yes: do not ask. Raises
    MergescopeError where the user says no, and where another process works on the study
    or with its toxic texts.
    """
    if now and not yes:
        _ask(study)
    deleted = purge(study, now=now)
    for ref in deleted:
        yield printable(f"{ref.sha256[:HASH]}  {ref.length:,} characters  {ref.category}")
    yield said(deleted)
    held = sum(path.is_file() for path in (study.folder / FOLDER).glob("*.json"))
    if held:
        why = "unfinished trainings need them" if now else f"used within {retention_days(study)} days"
        yield f"{held:,} kept: {why}"


def _ask(study: Study) -> None:
    import typer

    where = study.folder / FOLDER
    if not sys.stdin.isatty():
        raise MergescopeError("nothing was deleted, and there is no terminal to ask on", where=where, cure="add --yes")
    if not typer.confirm("Delete all toxic texts of this study? What was trained on them cannot be trained again"):
        raise MergescopeError("nothing was deleted", where=where)
