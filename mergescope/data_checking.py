"""What is in files of triples, in words or as JSON, before a study trains on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mergescope.data_check import Check, check_of
from mergescope.ground.errors import printable
from mergescope.retention import open_study
from trainer.data.coverage import Coverage, summary
from trainer.data.lengths import Lengths
from trainer.data.overlap import Overlap
from trainer.data.repeats import Repeat, RepeatKind

SHOWN = 8
"""Findings of a kind that are shown; the others are counted."""
_REPEATS: dict[RepeatKind, str] = {
    "triple": "repeat another triple word for word",
    "opposed": "prefer what another triple avoids",
    "prompt": "have another triple's prompt with other answers",
    "near": "have nearly another triple's prompt",
}


def check_data(files: Sequence[Path], study: Path | None, held_out: Sequence[Path], *, as_json: bool) -> int:
    """Print what is in the files; 1 if some of it would stop a training, else 0.

    files, held_out: as `check_of` takes them. study: the recipe file, None for none. Raises the MergescopeError family
    as `check_of`, and for a recipe that cannot be read.
    """
    check = check_of(files, None if study is None else open_study(study), held_out)
    if as_json:
        print(json.dumps(asdict(check) | {"stops": check.stops}, ensure_ascii=False, indent=1, allow_nan=False))
    else:
        print("\n".join(printable(line) for line in _lines(check)))
    return 1 if check.stops else 0


def _lines(check: Check) -> Iterator[str]:
    report = check.report
    yield f"{', '.join(check.files)}: {report.triples:,} triples"
    yield from _shown("cannot be read", check.wrong)
    for row in check.origins:
        yield f"  {row.triples:,} from {row.source or '?'}, licence {row.licence or '?'}, made by {row.made_by or '?'}"
    if report.held_out is None:
        yield "overlap: not looked for; --study or --held-out says what is evaluated"
    else:
        yield from _overlap_lines(report.overlaps, report.held_out, allowed=check.overlap_allowed)
    yield from _repeat_lines(report.repeats)
    if report.triples:
        yield from _length_lines(report.lengths)
        yield from _coverage_lines(report.coverage)
    yield f"{check.stops} findings would stop a training: mend them" if check.stops else "nothing here stops a training"


def _shown(what: str, findings: Sequence[str]) -> Iterator[str]:
    if findings:
        yield f"{len(findings):,} {what}:"
        yield from (f"  {finding}" for finding in findings[:SHOWN])
    if len(findings) > SHOWN:
        yield f"  and {len(findings) - SHOWN:,} more"


def _overlap_lines(found: Sequence[Overlap], held_out: int, *, allowed: bool) -> Iterator[str]:
    exact = sum(one.is_exact for one in found)
    note = "; the study allows it" if allowed and found else ""
    yield f"overlap with {held_out:,} held-out prompts: {exact} triples, and {len(found) - exact} nearly{note}"
    lines = [
        f"{one.idx}: {'equal to' if one.is_exact else f'{one.similarity:.2f} like'} {one.prompt[:60]!r}"
        for one in found
    ]
    yield from _shown("overlap", lines)


def _repeat_lines(found: Sequence[Repeat]) -> Iterator[str]:
    if not found:
        yield "repeats: none"
    for kind, what in _REPEATS.items():
        of_kind = [one for one in found if one.kind == kind]
        alike = {one.idx: f" ({one.similarity:.2f})" if kind == "near" else "" for one in of_kind}
        yield from _shown(what, [f"{one.idx}, as {one.earlier}{alike[one.idx]}" for one in of_kind])


def _length_lines(lengths: Lengths) -> Iterator[str]:
    hint = "" if lengths.unit == "tokens" else "; --study with a base on this machine counts tokens"
    yield f"lengths in {lengths.unit}{hint}"
    yield "    median     95 %  longest"
    for one in lengths.parts:
        yield f"  {one.median:8,.0f} {one.high:8,.0f} {one.longest:8,}  {one.part} (longest: {one.idx})"
    yield f"the chosen answer is the longer one in {lengths.chosen_longer:.0%}"
    yield from _shown("longer than max_length", lengths.too_long)


def _coverage_lines(coverage: Coverage) -> Iterator[str]:
    yield from summary(coverage)
    missing = [harm for one in coverage.types for harm in one.missing if one.triples]
    yield from _shown("harms without a triple, in types that have some", missing)
    yield from _shown(
        "categories that the taxonomy does not have, as your own ones may be",
        [f"{one.level} {one.name!r}, {one.triples:,} triples: {one.hint}" for one in coverage.unknown],
    )
    yield from _shown("triples whose category belongs to another wide one", coverage.misplaced)
