"""A whole recipe as plain values, for tests to spoil or to shrink."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

STUDIES = Path(__file__).parents[2] / "studies"
_OWN = {
    "study": "tiny",
    "seed": 3,
    "models": {"base": "./base", "safe": "./safe", "useful": "./useful"},
    "train": "skip",
    "merge": {"ratios": [0, 0.5, 1]},
    "eval": {
        "engine": {"kind": "transformers", "dtype": "float32", "device": "cpu"},
        "sampling": {"max_tokens": 8},
        "sets": [{"name": "prompts", "path": "prompts.jsonl"}],
        "judges": [{"kind": "proxy", "language": "ja"}],
    },
}


def own_models() -> dict[str, Any]:
    """A recipe for models that lie beside it."""
    return copy.deepcopy(_OWN)


def demo() -> dict[str, Any]:
    """The shipped demo's recipe."""
    raw: dict[str, Any] = yaml.safe_load((STUDIES / "demo.yaml").read_text(encoding="utf-8"))
    return raw


def changed(raw: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """`raw` with the value at a dotted path replaced; list places are numbers."""
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    node: Any = raw
    for part in parents:
        node = node[part]
    node[last] = value
    return raw


def written(folder: Path, raw: dict[str, Any], name: str = "recipe.yaml") -> Path:
    """The recipe as a file in `folder`."""
    file = folder / name
    file.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    """JSONL."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
