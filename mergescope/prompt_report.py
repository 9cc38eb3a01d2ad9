"""What is in a file of prompts, in words, before a study reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from eval.config import PromptSetFile
from eval.formats.catalogue import FORMATS
from eval.formats.draft import Draft
from eval.prompt_files import known_format, licence_of, read_drafts
from mergescope.complaints import complaint
from mergescope.ground.errors import DataError, RecipeError, printable

SHOWN = 8
"""Categories, and wrong records, that are shown; the others are counted."""


def report(path: Path, form: str | None, kind: str | None, references: Path | None) -> int:
    """Print what is in the file and what is wrong with it; 1 if some record is wrong, else 0.

    form: whose form the file has; None looks at its columns. Raises DataError where the file as a whole cannot be read.
    """
    file = _section(path, form, kind, references)
    wrong: list[DataError] = []
    drafts = read_drafts(file, path, wrong.append)
    for line in [*_summary(file, drafts), *_complaints(wrong)]:
        print(printable(line))
    return 1 if wrong else 0


def _section(path: Path, form: str | None, kind: str | None, references: Path | None) -> PromptSetFile:
    """The section of a recipe that reads the file so; options that do not go together raise RecipeError."""
    raw = {"name": "prompts", "path": path, "format": form or known_format(path) or "mergescope"}
    raw |= {
        key: value
        for key, value in (("kind", kind), ("references", references and str(references)))
        if value is not None
    }
    try:
        return PromptSetFile.model_validate(raw)
    except ValidationError as error:
        raise _about_options(complaint(path, raw, error, ())) from None


def _about_options(error: RecipeError) -> RecipeError:
    """A complaint about a section of a recipe as one about the command's options."""
    key = str(error.where).rpartition(": ")[2]
    cure = None if error.cure is None else error.cure.replace("set `kind`", "add --kind")
    return RecipeError(error.what, where=f"--{key}", value=error.value, cure=cure)


def _summary(file: PromptSetFile, drafts: Sequence[Draft]) -> Iterator[str]:
    groups = {draft.group for draft in drafts}
    yield f"{file.path}: {FORMATS[file.format].title} (format: {file.format}), licence {licence_of(file)}"
    referenced = sum(draft.reference is not None for draft in drafts)
    yield f"{len(drafts)} items in {len(groups)} groups, {referenced} with a reference"
    yield f"kinds: {_counted(draft.kind for draft in drafts)}"
    yield f"categories: {_counted(draft.category[0] for draft in drafts)}"
    if drafts:
        longest = max(drafts, key=_characters)
        yield f"longest prompt: {_characters(longest):,} characters ({longest.key})"


def _complaints(wrong: Sequence[DataError]) -> Iterator[str]:
    yield from (error.line() for error in wrong[:SHOWN])
    if len(wrong) > SHOWN:
        yield f"and {len(wrong) - SHOWN} more that cannot be read"


def _counted(names: Iterable[str]) -> str:
    counts = Counter(names).most_common()
    shown = [f"{name} {count}" for name, count in counts[:SHOWN]]
    return ", ".join([*shown, *([f"{len(counts) - SHOWN} more"] if len(counts) > SHOWN else [])]) or "none"


def _characters(draft: Draft) -> int:
    return sum(len(message["content"]) for message in draft.messages)
