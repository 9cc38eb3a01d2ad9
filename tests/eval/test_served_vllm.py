"""The openai engine against a real `vllm serve`, on vLLM's CPU build or a GPU; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.config import EngineSection, SamplingSection, ServedCheckpoint
from eval.engine import Answer, Request, open_engine
from eval.engines.served import ServedEngine
from eval.engines.served_identity import served_checkpoint, served_sampling
from mergescope.ground.errors import MergescopeError
from tests.eval.given import answered
from tests.eval.vllm_server import serving

KEY = "canary-key-17"
REQUESTS = [Request(({"role": "user", "content": "abcあいう"[: 1 + i % 6]},), i) for i in range(12)]
TOO_LONG = Request(({"role": "user", "content": "a" * 80},), 99)
SAMPLING = served_sampling(SamplingSection(max_tokens=16), 0)

pytestmark = [
    pytest.mark.deep,
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]


@pytest.fixture(scope="module")
def served(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCheckpoint]:
    """A server of the tiny model in a process of its own."""
    with serving(tiny_llama, tmp_path_factory.mktemp("vllm") / "log", KEY, "tiny", 64) as base_url:
        yield ServedCheckpoint.model_validate(
            {"kind": "served", "name": "tiny", "model": "tiny", "base_url": base_url, "api_key_env": "TINY_KEY"}
        )


def test_answers_are_those_of_the_engine_in_this_process(
    served: ServedCheckpoint, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    identity = served_checkpoint(served, tmp_path)
    assert identity.contact.reported == "tiny"
    assert (identity.contact.version or "").startswith("vllm-")
    theirs = dict(ServedEngine(served, identity, tmp_path).generate([*REQUESTS, TOO_LONG], SAMPLING))
    assert theirs.pop(len(REQUESTS)) == Answer("", "stop", 0, "too_long")
    section = EngineSection.model_validate({"kind": "transformers", "dtype": "float32", "device": "cpu"})
    ours = answered(open_engine(section, tiny_llama), REQUESTS, SAMPLING)
    assert len({answer.text for answer in ours}) > 3
    assert [theirs[place] for place in range(len(REQUESTS))] == ours


def test_a_wrong_key_is_one_line(served: ServedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", "wrong")
    with pytest.raises(MergescopeError, match="refuses the key: HTTP 401; check the environment variable TINY_KEY"):
        served_checkpoint(served, tmp_path)


def test_an_unknown_model_is_one_line(
    served: ServedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    with pytest.raises(MergescopeError, match="does not know 'other': HTTP 404"):
        served_checkpoint(served.model_copy(update={"model": "other"}), tmp_path)
    with pytest.raises(MergescopeError, match="has no such path: HTTP 404"):
        served_checkpoint(served.model_copy(update={"base_url": f"{served.base_url}/v7"}), tmp_path)
