"""The `data.make` section: the example that is shipped, and what cannot be done."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.mergescope.recipes import STUDIES
from trainer.synthesis.config import MakeSection

WRITER = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}


def shipped() -> dict[str, Any]:
    """The section that stands behind # in the shipped recipe."""
    text = (STUDIES / "llm-jp-3-13b.yaml").read_text(encoding="utf-8")
    lines = re.search(r"^#   make:\n(?:#   .*\n)+", text, re.MULTILINE)
    assert lines is not None
    found: dict[str, Any] = yaml.safe_load(re.sub(r"^# ", "", lines[0], flags=re.MULTILINE))["make"]
    return found


def test_the_shipped_example_is_whole() -> None:
    raw = shipped()
    section = MakeSection.model_validate(raw)
    assert section.second is not None
    assert set(MakeSection.model_fields) - raw.keys() == {"judge"}
    assert raw["writer"].keys() == type(section.writer).model_fields.keys()
    keys = {key for source in raw["sources"] for key in source}
    assert keys == type(section.sources[0]).model_fields.keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": []}, "questions is missing"),
        ({"second": {**WRITER, "temperature": 0}}, "candidates must be 1 where `second` has temperature 0"),
        ({"candidates": 0}, "greater than or equal to 1"),
        ({"writer": {"model": "m"}}, "Field required"),
        ({"sources": [{"path": "a.txt", "kind": "benign"}]}, "'harmful' or 'borderline'"),
        ({"sources": [{"path": "a.txt", "column": "x"}]}, "Extra inputs"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], words: str) -> None:
    raw = {"writer": WRITER, "sources": [{"path": "a.txt"}], **changes}
    with pytest.raises(ValidationError, match=words):
        MakeSection.model_validate(raw)
