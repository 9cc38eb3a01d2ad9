"""Published preference sets to files of triples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergescope.ground.errors import MergescopeError, printable
from mergescope.ground.files import write_atomic
from mergescope.ground.units import size_text
from trainer.data.importers.catalogue import FORMS
from trainer.data.importers.form import Form
from trainer.data.importing import Imported, Origin, imported
from trainer.data.sources import Source, find_source, read_source


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asks for."""

    form: str
    """One of FORMS."""
    source: str
    """A file, a folder, or a Hub id."""
    out: Path
    """File to write; must not exist."""
    config: str | None = None
    split: str | None = None
    columns: Sequence[str] = ()
    """`prompt=question`: the form's column, and what the set calls it."""
    licence: str | None = None
    made_by: str | None = None


def import_data(order: Order) -> Iterator[str]:
    """Read the set and write the triples; yields what is to be known, of the Hub before anything is fetched.

    Raises the MergescopeError family for a form, source, column or file that is not usable.
    """
    if order.form not in FORMS:
        raise MergescopeError("no such form", where="FORM", value=order.form, cure=f"use one of {', '.join(FORMS)}")
    if order.out.exists():
        raise MergescopeError("is there already", where=order.out, cure="remove it, or write elsewhere")
    form, columns = FORMS[order.form], _columns(order.columns)
    source = find_source(order.source)
    if source.size is not None:
        yield _hub_line(source)
    origin = Origin(
        prefix=source.name if form.prefix is None else form.prefix,
        source=form.source or source.title,
        licence=order.licence or form.licence or source.licence,
        made_by=order.made_by or form.made_by,
    )
    config = order.config or (None if source.place is not None and source.place.is_file() else form.config)
    found = imported(read_source(source, config, order.split), form, origin, columns)
    write_atomic(order.out, "".join(found.lines))
    yield from map(printable, _lines(order.out, form, origin, found))


def _columns(given: Sequence[str]) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in given]
    for text, (name, sign, column) in zip(given, pairs, strict=True):
        if not name or not sign or not column:
            raise MergescopeError("not a column", where="--column", value=text, cure="write it as prompt=question")
    return {name: column for name, _, column in pairs}


def _hub_line(source: Source) -> str:
    gate = "; its owners ask for your consent on the Hub" if source.gated else ""
    size = size_text(source.size or 0)
    return f"{source.title}: licence {source.licence or 'not stated'}, {size} in all its files{gate}"


def _lines(out: Path, form: Form, origin: Origin, found: Imported) -> Iterator[str]:
    what = "questions" if found.questions else "triples"
    yield f"{out}: {len(found.lines):,} {what} of {form.title}, licence {origin.licence or 'unknown'}"
    for reason, count in found.left_out.most_common():
        yield f"  {count:,} left out: {reason} (first: {found.first[reason].where})"
    for note, count in found.notes.most_common():
        yield f"  {count:,} without all of their record: it {note}"
    if origin.licence == FORMS["answercarefully"].licence:
        yield "AnswerCarefully may not be passed on, and neither may this file"
    if found.questions:
        yield "they have no answer to avoid: name the file in `data.make.questions`, then run `mergescope data make`"
    else:
        yield f"now look at it: mergescope data check {out}"
