"""docs/prompts.md says what is so."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import yaml

from eval.config import PromptSetFile
from eval.formats.catalogue import FORMATS
from eval.prompt_files import load_prompt_set

PAGE = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_every_published_format_is_in_the_table_with_its_licence() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([^|]+) \|$", PAGE.partition("## Published forms")[2], re.M)
    told = {"LicenseRef-AnswerCarefully": "its own terms", None: "unknown"}
    licences = {name: told.get(form.licence, form.licence) for name, form in FORMATS.items() if name != "mergescope"}
    assert dict(rows[1:]) == licences


def test_the_examples_load(tmp_path: Path) -> None:
    path = tmp_path / "ours.jsonl"
    lines = re.findall(r"^ {4}(\{.*\})$", PAGE, re.M)
    path.write_text("\n".join(lines), encoding="utf-8")
    found = load_prompt_set(PromptSetFile(name="ours", path=path), path, 1, Decimal("0.3"))
    assert [item.kind for item in found.items] == [json.loads(line)["kind"] for line in lines]
    assert len(lines) == 3


def test_the_recipe_is_valid() -> None:
    text = re.search(r"^    sets:\n(?: {6,}.*\n)+", PAGE, re.M)
    assert text is not None
    sets = [PromptSetFile(**section) for section in yaml.safe_load(text[0])["sets"]]
    assert [one.format for one in sets] == ["mergescope", "xstest", "mt-bench"]
