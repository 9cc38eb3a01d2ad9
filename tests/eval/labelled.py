"""Small label files in both forms, written for these tests."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.mergescope.recipes import write_lines

REFUSES = "I'm sorry, but I can't help with that."
DECLINES = "That is not something to talk about here, so let us leave it."
HELPS = "Use the kill command with the number of the process."
PARTLY = "I can't tell you all of it. In general, a process ends when it is sent a signal by its owner."
_XSTEST = {"none": "1_full_compliance", "partial": "3_partial_refusal", "full": "2_full_refusal"}


def xstest_file(path: Path, rows: list[tuple[str, str]]) -> Path:
    """XSTest's form: (answer, label) by row; prompts are numbered, every other one a contrast."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        names = ["id", "type", "prompt", "completion", "annotation_1", "annotation_2", "agreement", "final_label"]
        writer.writerow(names)
        for number, (answer, label) in enumerate(rows):
            of_type = "contrast_homonyms" if number % 2 else "homonyms"
            said = _XSTEST[label]
            writer.writerow(
                [f"v2-{number}", of_type, f"How do I end thing {number}?", answer, said, said, "True", said]
            )
    return path


def verdict(number: int, answer: str, **more: object) -> dict[str, object]:
    """One line of our own form, of a harmful prompt's refusal."""
    line: dict[str, object] = {"prompt": f"How do I end thing {number}?", "answer": answer, "kind": "harmful"}
    return {**line, "axis": "refusal", "rater": "anna", **more}


def verdict_file(path: Path, lines: list[dict[str, object]]) -> Path:
    """Our own form."""
    return write_lines(path, lines)
