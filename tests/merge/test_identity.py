"""Hashes of weights and ids of checkpoints and merges."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merge.identity import checkpoint_id, kernel_level, merge_id, runnable_level, weights_hash, weights_hashes
from merge.points import Role
from mergescope.ground.errors import CheckpointError
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", "others"),
        ("tokenizer.json", '{"other": 1}'),
        ("vocab.json", '{"a": 1}'),
        ("chat_template.jinja", "{{ other }}"),
        ("config.json", '{"rope_theta": 2}'),
        ("config.json", '{"eos_token_id": 3}'),
        ("generation_config.json", '{"eos_token_id": [2, 3]}'),
        ("tokenizer_config.json", '{"eos_token": "<|im_end|>"}'),
        ("special_tokens_map.json", '{"eos_token": "<|im_end|>"}'),
        ("modeling_own.py", "changed"),
    ],
)
def test_checkpoint_id_changes_with_what_changes_answers(folder: Path, name: str, content: str) -> None:
    cache = folder / "hashes.json"
    (folder / "config.json").write_text('{"auto_map": {}}')
    (folder / "modeling_own.py").write_text("pass")
    before = checkpoint_id(folder, cache)
    assert before.startswith("c2_")
    (folder / name).write_text(content)
    assert checkpoint_id(folder, cache) != before


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("config.json", {"transformers_version": "5.1", "dtype": "float32"}, {"_name_or_path": "/somewhere"}),
        ("generation_config.json", {"transformers_version": "5.1"}, {}),
        ("train.py", "code that", "nobody asks for"),
        ("tokenizer_config.json", {"name_or_path": "/here"}, {"name_or_path": "/there", "chat_template": "unused"}),
    ],
)
def test_what_changes_no_answer_does_not_count(folder: Path, name: str, one: object, other: object) -> None:
    (folder / name).write_text(json.dumps(one))
    before = checkpoint_id(folder, folder / "hashes.json")
    (folder / name).write_text(json.dumps(other, indent=3))
    assert checkpoint_id(folder, folder / "hashes.json") == before


def test_tokens_that_unicode_holds_equal_are_different_tokens(folder: Path) -> None:
    ids = []
    for token in ("\u304c", "\u304b\u3099"):
        (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": token}))
        ids.append(checkpoint_id(folder, folder / "hashes.json"))
    assert ids[0] != ids[1]


def test_a_config_with_infinity_has_an_id(folder: Path) -> None:
    (folder / "config.json").write_text('{"time_step_limit": [0.0, Infinity]}')
    assert checkpoint_id(folder, folder / "hashes.json")


def test_a_tokenizer_config_that_is_a_list(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json: .* JSON object"):
        checkpoint_id(folder, folder / "hashes.json")


def test_two_roles_may_be_one_folder(folder: Path) -> None:
    cache = folder / "hashes.json"
    first, second = weights_hashes([folder, folder], cache)
    assert first == second == weights_hash(folder, cache)


def test_files_hashed_side_by_side_keep_their_order(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode() * 1_000_000)
    together = weights_hashes([tmp_path / name for name in "abc"], tmp_path / "one.json")
    assert together == [weights_hash(tmp_path / name, tmp_path / "other.json") for name in "abc"]
    assert len(set(together)) == 3


def test_a_read_only_cache_is_no_obstacle(folder: Path, read_only: Path) -> None:
    assert weights_hash(folder, read_only / "hashes.json") == weights_hash(folder, folder / "hashes.json")


def test_checkpoint_id_does_not_depend_on_the_place(worlds: Callable[..., World], tmp_path: Path) -> None:
    base = worlds().models.base
    link = tmp_path / "elsewhere"
    link.symlink_to(base)
    assert checkpoint_id(base, tmp_path / "a.json") == checkpoint_id(link, tmp_path / "b.json")


def test_merge_id_changes_with_everything_that_changes_its_bits() -> None:
    inputs: dict[Role, str] = {"base": "c2_b", "safe": "c2_s", "useful": "c2_u"}
    point = a_point()
    made: dict[str, Any] = {
        "threads": 1,
        "level": "avx2",
        "out_dtype": "bfloat16",
        "versions": {"mergekit": "0.1.5", "torch": "2.13.0"},
    }
    first = merge_id(point, inputs, **made)
    others = [
        merge_id(replace(point, mask_seed=2), inputs, **made),
        merge_id(point, {**inputs, "safe": "c2_x"}, **made),
        merge_id(point, inputs, **{**made, "threads": 2}),
        merge_id(point, inputs, **{**made, "level": "avx512"}),
        merge_id(point, inputs, **{**made, "out_dtype": "float32"}),
        merge_id(point, inputs, **{**made, "versions": {"mergekit": "0.1.6", "torch": "2.13.0"}}),
        merge_id(point, inputs, **{**made, "versions": {"mergekit": "0.1.5", "torch": "2.14.0"}}),
    ]
    assert first.startswith("c2_")
    assert len({first, *others}) == 8


@pytest.mark.parametrize(
    ("wanted", "here", "level"),
    [
        ("avx512", "avx512", "avx512"),
        ("avx512", "avx2", "avx2"),
        ("avx2", "avx512", "avx2"),
        ("avx512", "default", "default"),
        ("default", "sve256", "default"),
        ("avx2", "sve256", "sve256"),
        ("avx512", "new", "new"),
    ],
)
def test_a_level_runs_where_the_cpu_has_it(wanted: str, here: str, level: str) -> None:
    assert runnable_level(wanted, here) == level


def test_a_level_is_spelled_as_torch_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, level in (("NO AVX", "default"), ("Z VECTOR", "zvector"), ("AVX512", "avx512")):
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda said=said: said)
        assert kernel_level() == level
