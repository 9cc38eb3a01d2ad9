"""The check of a bundle, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from merge.inert import one_line
from merge.verify import VerifyReport
from merge.verify import verify as rebuild_and_compare
from mergescope.ground.progress import Reporter


def verify_bundle(bundle: Path, inputs: Path | None) -> int:
    """Rebuild a bundle's checkpoint, print what came of it, and return the exit code: 0 where every bit is equal."""
    report = rebuild_and_compare(bundle, inputs, Reporter(sys.stderr))
    for line in told(report):
        print(one_line(line))
    return 0 if report.ok else 1


def told(report: VerifyReport) -> Iterator[str]:
    """The report in lines, causes first and what was found last."""
    yield from report.causes
    if report.changed:
        yield "nothing was merged: give the models that the merge was made from with --inputs"
        return
    if report.damaged:
        yield f"checkpoint/: {_named(report.damaged, report.compared)} the manifest's: edited or damaged"
    if report.other_scales:
        yield "no other merge: the same masks on another CPU, so that some weights differ in their last bit"
    if report.differing:
        yield f"{_named(report.differing, report.compared)} the manifest's"
    else:
        also = "" if not report.checkpoint or report.damaged else ", and so is checkpoint/"
        edited = "; but a file was edited: not the bundle that was exported" if report.edited else ""
        yield f"all {report.compared} tensors are equal in every bit{also}{edited}"


def _named(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} of {count} tensors differ ({shown}) from"
