"""A study whose data are made by a scripted server: two files of raw texts and one of questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergescope.ground.errors import DataError
from tests.eval.served import Server
from tests.mergescope.conftest import prompt_lines
from tests.mergescope.recipes import own_models, write_lines, written
from tests.trainer.synthesis.scripted import JUDGE, SECOND, WRITER, server_keys

META = {"risk-area": "悪用", "harm-type": "違法行為の支援", "specific-harm": "違法薬物"}
KEY = {"MAKE_KEY": "canary-key-83"}


def make_section(base_url: str, **changes: Any) -> dict[str, Any]:
    """A recipe's `data.make`."""
    return {
        "writer": server_keys(base_url, WRITER),
        "second": server_keys(base_url, SECOND),
        "judge": {"kind": "openai", **server_keys(base_url, JUDGE)},
        "sources": [{"path": "posts.txt"}, {"path": "words.txt", "kind": "borderline", "licence": "CC0-1.0"}],
        "questions": ["questions.jsonl"],
        "unchecked": True,
        **changes,
    }


def making_study(folder: Path, server: Server, texts: int = 3, questions: int = 4, **changes: Any) -> Path:
    """The recipe of a study with that many texts of each source, and questions of each kind; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("posts", "words"):
        (folder / f"{name}.txt").write_text("".join(f"{name}の{i}番\n" for i in range(texts)), encoding="utf-8")
    kinds = ("harmful", "borderline")
    rows = [{"prompt": f"{i}番の{kind}", "kind": kind, "meta": META} for i in range(questions) for kind in kinds]
    write_lines(folder / "questions.jsonl", rows)
    write_lines(folder / "prompts.jsonl", prompt_lines())
    raw = own_models()
    raw["data"] = {"make": make_section(server.base_url, **changes)}
    return written(folder, raw)


def made(folder: Path) -> dict[str, dict[str, Any]]:
    """Every line of the study's sets and drafts, by set and id; raises DataError where an id stands twice."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "tiny" / "data").glob("*/*.jsonl")):
        if path.parent.name == "journal":
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:  # a kill may cut the last one
            row = json.loads(line)
            name = f"{path.parent.name} {row.get('pair_id') or row['draft_id']}"
            if name in found:
                raise DataError("stands twice", where=path, value=name)
            found[name] = row
    return found
