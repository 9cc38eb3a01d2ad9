"""Reads prompt sets: files of many forms to items with their split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from eval.config import FormatName, PromptSetFile
from eval.formats.catalogue import FORMATS, formats_of
from eval.formats.draft import Draft, Format, Wish
from eval.formats.mt_bench import read_references
from eval.formats.reading import read_records
from eval.formats.record import Record
from eval.prompts import Item, PromptSet, split_of
from eval.wrapping import wrapped
from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash
from mergescope.ground.seeds import derive_seed


def load_prompt_set(
    file: PromptSetFile, path: Path, seed: int, confirm_share: Decimal, place: str = "eval.sets"
) -> PromptSet:
    """Read the set `file` from `path` (already resolved); `place` is where a recipe describes it, for errors.

    The split is a hash of group and study seed: about `confirm_share` of the groups go to confirm. Raises DataError
    naming file, line, field and cure: missing or empty file, another format, malformed line, wrong field, repeated key.
    """
    items = [_item(draft, seed, confirm_share) for draft in limited(read_drafts(file, path), file.limit, seed)]
    asked = wrapped(items, file.wrappers, f"{place}.wrappers")
    return PromptSet(file.name, file_hash(path), licence_of(file), file.redistributable, asked)


def load_prompt_sets(
    files: Iterable[PromptSetFile], recipe: Path, seed: int, confirm_share: Decimal
) -> tuple[PromptSet, ...]:
    """All sets of the file `recipe`; paths are relative to its folder. Raises DataError, also for equal names."""
    sets: dict[str, PromptSet] = {}
    for position, file in enumerate(files):
        place = f"{recipe}: eval.sets[{position}]"
        if file.name in sets:
            raise DataError("two sets have the same name", where=f"{place}.name", value=file.name, cure="rename one")
        references = None if file.references is None else recipe.parent / file.references
        resolved = file.model_copy(update={"references": references})
        sets[file.name] = load_prompt_set(resolved, recipe.parent / file.path, seed, confirm_share, place)
    return tuple(sets.values())


def read_drafts(file: PromptSetFile, path: Path, complain: Callable[[DataError], None] | None = None) -> list[Draft]:
    """All items of a file, whatever its limit; `file.references` is already resolved.

    complain: is told what is wrong with a record, which is then left out; None raises the first such DataError. What
    is wrong with the whole file is always raised.
    """
    form = FORMATS[file.format]
    wish = Wish(file.kind, {} if file.references is None else read_references(file.references))
    drafts: dict[str, Draft] = {}
    first: dict[str, str] = {}
    left_out = False
    for record in _records(form, path):
        try:
            for draft in form.drafts(record, wish):
                if draft.key in first:
                    what = f"`{form.key}` repeats that of {first[draft.key]}"
                    raise record.wrong(what, value=draft.key, cure="give each item its own")
                first[draft.key], drafts[draft.key] = record.place, draft
        except DataError as error:
            if complain is None:
                raise
            complain(error)
            left_out = True
    if not left_out:
        _check_references(file, wish, drafts)
    return list(drafts.values())


def known_format(path: Path) -> FormatName | None:
    """The format of a file where its columns tell it, and it needs no word on the kind; None otherwise.

    Raises DataError where the file's first record cannot be read.
    """
    found = possible_formats(path)
    return found[0] if len(found) == 1 and found != ["llm-jp-judge"] else None


def possible_formats(path: Path) -> list[FormatName]:
    """The formats whose columns a file has; none for an empty file. Raises DataError as `known_format`."""
    head = next(read_records(path), None)
    return [] if head is None else formats_of(head.fields)


def licence_of(file: PromptSetFile) -> str:
    """The recipe's word on the licence, else the format's, else unknown."""
    own = FORMATS[file.format].licence
    return file.licence if file.licence != "unknown" or own is None else own


def limited(drafts: list[Draft], limit: int | None, seed: int) -> list[Draft]:
    """The items of `limit` groups, in the file's order; groups are ranked by a hash of their name and the seed."""
    if limit is None:
        return drafts
    groups = sorted({draft.group for draft in drafts}, key=lambda group: (derive_seed(seed, "limit", group), group))
    taken = set(groups[:limit])
    return [draft for draft in drafts if draft.group in taken]


def _records(form: Format, path: Path) -> Iterator[Record]:
    records = read_records(path)
    head = next(records, None)
    if head is None:
        raise DataError("the prompt set is empty", where=path, cure="add prompts, or drop the set")
    if lacking := sorted(form.columns - set(head.fields)):
        cure = _cure(formats_of(head.fields), list(head.fields))
        raise head.wrong(f"`{lacking[0]}` is missing, which {form.title} files have", cure=cure)
    yield head
    yield from records


def _cure(others: list[FormatName], columns: list[str]) -> str:
    if others:
        formats = " or ".join(f"`format: {other}`" for other in others)
        return f"these are the columns of {FORMATS[others[0]].title}: set {formats}"
    shown = ", ".join(column[:40] for column in columns[:12])
    return f"correct `format`, or the file, which has: {shown or 'nothing'}"


def _check_references(file: PromptSetFile, wish: Wish, drafts: dict[str, Draft]) -> None:
    strange = [key for key in wish.references if key not in drafts]
    if strange:
        cure = "give the references of these very questions"
        raise DataError(
            "answers a question that the set does not have", where=file.references, value=strange[0], cure=cure
        )


def _item(draft: Draft, seed: int, confirm_share: Decimal) -> Item:
    return Item(
        key=draft.key,
        kind=draft.kind,
        messages=draft.messages,
        category=draft.category,
        group=draft.group,
        split=split_of(draft.group, seed, confirm_share),
        reference=draft.reference,
        reference_refusal=draft.reference_refusal,
    )
