"""Origins of triples: counted, and nothing else of them kept."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.provenance import DataCount, counted

META = {"risk-area": "a", "harm-type": "b", "specific-harm": "c"}


def write_triples(path: Path, *origins: dict[str, str]) -> Path:
    """One triple of each origin."""
    rows = [
        {"idx": i, "prompt": f"p{i}", "chosen": "いいえ。", "rejected": "はい。（手順は省略）", "meta": META, **origin}
        for i, origin in enumerate(origins)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_triples_are_counted_by_origin_largest_first(tmp_path: Path) -> None:
    people = {"source": "ours", "licence": "MIT", "made_by": "people"}
    first = write_triples(tmp_path / "a.jsonl", {"made_by": "gpt-4o"}, people, {})
    second = write_triples(tmp_path / "b.jsonl", people)
    assert counted([first, second, tmp_path / "gone.jsonl"]) == [
        DataCount("ours", "MIT", "people", 2),
        DataCount(None, None, None, 1),
        DataCount(None, None, "gpt-4o", 1),
    ]
