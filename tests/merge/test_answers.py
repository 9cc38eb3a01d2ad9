"""Merges answer: streamed into a running engine they say what the same merges say when loaded from disk."""

from __future__ import annotations

import importlib.util
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.config import EngineSection
from eval.engine import Answer, Engine, Request, Sampling, open_engine
from merge.materialize import materialize
from merge.merger import open_merger
from merge.tensor_bytes import entries_hash
from merge.weights import MergeWeights, StoredWeights
from tests.eval.given import answered
from tests.eval.vllm_workers import two_workers
from tests.merge.conftest import World, a_point, build_models
from tests.tokenizers import SPECIAL, character_tokenizer

INSTALLED = importlib.util.find_spec("vllm") is not None
POINT = a_point("0.4", safe="0.5", useful="0.3")
VOCABULARY = 1000
ASCII = string.ascii_letters + string.digits
LETTERS = [*ASCII, *(chr(0x4E00 + i) for i in range(VOCABULARY - len(SPECIAL) - len(ASCII)))]
# ASCII, for transformers gives a Qwen checkpoint its own byte-level tokenizer whatever its files say
REQUESTS = [Request(({"role": "user", "content": ASCII[i :: 7 + i]},), i) for i in range(8)]
SIXTY = [Request(({"role": "user", "content": ASCII[i : i + 8 + i % 20]},), i) for i in range(60)]
GREEDY = Sampling(0.0, 16, 1, 0, {})
DEEP = [
    ("llama", False),
    ("qwen2", False),
    ("qwen3", False),
    ("gemma2", True),
    ("gemma3", True),
    ("mistral", False),
    ("phi3", False),
    ("olmo2", False),
    ("mixtral", False),
    ("qwen3_moe", False),
]
VLLM = [
    ("llama", True, "vllm", 1),
    ("qwen3", False, "vllm", 1),
    ("llama", True, "vllm", 2),
    ("qwen3_moe", False, "vllm", 2),
    ("qwen3_moe", False, "vllm", 1),
    ("mixtral", False, "transformers", 1),
]
"""Families, who opens the merge's folder, and workers: vLLM knows Mixtral by its stored names only, and mergekit
renames it."""


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Three models by family, with a tokenizer, and loud enough that each answers each prompt otherwise."""
    made: dict[tuple[str, bool], World] = {}

    def get(family: str, tied: bool) -> World:
        if (family, tied) not in made:
            folder = tmp_path_factory.mktemp(family)
            # wide enough for heads of 32, the least that vLLM's CPU attention takes
            made[family, tied] = build_models(folder, family=family, tied=tied, width=128)
            for role in ("base", "safe", "useful"):
                louder(folder / role)
                character_tokenizer(LETTERS).save_pretrained(folder / role)
        return made[family, tied]

    return get


def louder(folder: Path) -> None:
    """Let the layers outshout the embedding, which alone would make every model repeat its last token."""
    file = folder / "model.safetensors"
    tensors = {name: t * 8 if t.dim() > 1 and "embed" not in name else t for name, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


@contextmanager
def asked(
    kind: str, folder: Path, workers: int = 1, requests: Sequence[Request] = REQUESTS
) -> Iterator[tuple[Engine, Callable[[], list[Answer]]]]:
    """An engine on `folder`, and what asks it."""
    plain = {"dtype": "float32", "device": "cpu", "batch_size": 8, "max_model_len": 64}
    section = EngineSection.model_validate({**plain, "kind": kind, "tensor_parallel": workers})
    with closing(open_engine(section, folder)) as engine:
        yield engine, lambda: answered(engine, requests, GREEDY)


def assert_streamed_as_fresh(kind: str, world: World, study: Path, out: Path, fresh: str, workers: int = 1) -> None:
    """A merge and a reference streamed into one engine answer as fresh engines on their folders do."""
    models = world.models
    entries = materialize(POINT, open_merger(study, POINT, models, threads=1), models, out)
    with asked(kind, models.safe, workers) as (engine, answers):
        safe = answers()
        swap = engine.load(MergeWeights(study, POINT, models, 1, "cpu"))
        assert (swap.sha256, swap.tensors) == (entries_hash(entries), len(entries))  # what a bundle's manifest says
        merged = answers()
        engine.load(StoredWeights(models.safe))
        assert answers() == safe != merged
    with asked(fresh, out, workers) as (_, answers):
        assert answers() == merged
    assert len({answer.text for answer in merged}) > 4  # the merge tells prompts apart


def assert_alive(folder: Path) -> None:
    """The checkpoint is complete for transformers, and its logits are numbers."""
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    logits = model(torch.arange(1, 33)[None]).logits
    assert torch.isfinite(logits).all()


@pytest.mark.deep
def test_a_tied_llama(talking: Callable[..., World], shared_masks: Path, tmp_path: Path) -> None:
    assert_streamed_as_fresh("transformers", talking("llama", True), shared_masks, tmp_path / "merged", "transformers")
    assert_alive(tmp_path / "merged")


@pytest.mark.deep
@pytest.mark.parametrize(("family", "tied"), DEEP)
def test_every_family(
    family: str, tied: bool, talking: Callable[..., World], shared_masks: Path, tmp_path: Path
) -> None:
    assert_streamed_as_fresh("transformers", talking(family, tied), shared_masks, tmp_path / "merged", "transformers")
    assert_alive(tmp_path / "merged")


@pytest.mark.deep
@pytest.mark.vllm
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; `make test-deep` does it where it runs")
@pytest.mark.parametrize(("family", "tied", "fresh", "workers"), VLLM)
def test_vllm(
    family: str,
    tied: bool,
    fresh: str,
    workers: int,
    talking: Callable[..., World],
    shared_masks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    if workers == 2:
        two_workers(monkeypatch)
    assert_streamed_as_fresh("vllm", talking(family, tied), shared_masks, tmp_path / "merged", fresh, workers)


@pytest.mark.deep
@pytest.mark.vllm
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; `make test-deep` does it where it runs")
def test_a_whole_grid_in_one_vllm_engine(
    talking: Callable[..., World], shared_masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty prompts at every ratio, swapped through twice: each time the answers of a fresh engine on the merge."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    models = talking("llama", False).models
    points = [replace(POINT, ratio=Decimal(ratio)) for ratio in ("0", "0.4", "1")]
    with asked("vllm", models.safe, requests=SIXTY) as (engine, answers):
        weights = [MergeWeights(shared_masks, point, models, 1, "cpu") for point in points]
        swept = [_swept(engine, answers, weights) for _ in range(2)]
    assert swept[0] == swept[1]
    merger = open_merger(shared_masks, POINT, models, threads=1)
    for point, wanted in zip(points, swept[0], strict=True):
        out = tmp_path / point.label
        materialize(point, merger, models, out)
        with asked("vllm", out, requests=SIXTY) as (_, answers):
            assert answers() == wanted
    assert len({tuple(answer.text for answer in one) for one in swept[0]}) == 3


def _swept(engine: Engine, answers: Callable[[], list[Answer]], weights: Sequence[MergeWeights]) -> list[list[Answer]]:
    found = []
    for one in weights:
        engine.load(one)
        found.append(answers())
    return found
