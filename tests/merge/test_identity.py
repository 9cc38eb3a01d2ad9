"""Hashes of weights and ids of checkpoints and merges."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from merge.identity import checkpoint_id, merge_id, weights_hash
from merge.points import Role
from tests.merge.conftest import World, a_point


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def test_a_file_is_read_once_and_again_when_it_changes(folder: Path) -> None:
    cache = folder / "cache" / "hashes.json"
    first = weights_hash(folder, cache)
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps(dict.fromkeys(known, "remembered")))
    assert weights_hash(folder, cache) != first  # the cache was believed
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    os.utime(folder / "model.safetensors", ns=(1, 1))
    changed = weights_hash(folder, cache)
    assert changed not in (first, "remembered")


def test_a_damaged_cache_is_no_obstacle(folder: Path) -> None:
    cache = folder / "hashes.json"
    first = weights_hash(folder, cache)
    cache.write_text("{broken")
    assert weights_hash(folder, cache) == first


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_checkpoint_id_changes_with_what_changes_answers(folder: Path, name: str) -> None:
    cache = folder / "hashes.json"
    before = checkpoint_id(folder, cache)
    assert before.startswith("c1_")
    (folder / name).write_text('{"other": 1}')
    assert checkpoint_id(folder, cache) != before


def test_checkpoint_id_does_not_depend_on_the_place(worlds: Callable[..., World], tmp_path: Path) -> None:
    base = worlds().models.base
    link = tmp_path / "elsewhere"
    link.symlink_to(base)
    assert checkpoint_id(base, tmp_path / "a.json") == checkpoint_id(link, tmp_path / "b.json")


def test_merge_id_changes_with_everything_that_changes_its_bits() -> None:
    inputs: dict[Role, str] = {"base": "c1_b", "safe": "c1_s", "useful": "c1_u"}
    point = a_point()
    first = merge_id(point, inputs, threads=1, level="avx2", out_dtype="bfloat16", version="0.1.5")
    others = [
        merge_id(replace(point, mask_seed=2), inputs, threads=1, level="avx2", out_dtype="bfloat16", version="0.1.5"),
        merge_id(point, {**inputs, "safe": "c1_x"}, threads=1, level="avx2", out_dtype="bfloat16", version="0.1.5"),
        merge_id(point, inputs, threads=2, level="avx2", out_dtype="bfloat16", version="0.1.5"),
        merge_id(point, inputs, threads=1, level="avx512", out_dtype="bfloat16", version="0.1.5"),
        merge_id(point, inputs, threads=1, level="avx2", out_dtype="float32", version="0.1.5"),
        merge_id(point, inputs, threads=1, level="avx2", out_dtype="bfloat16", version="0.1.6"),
    ]
    assert len({first, *others}) == 7
