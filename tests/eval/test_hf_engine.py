"""The embedded engine: batching changes nothing, swaps are whole or refused, long prompts are marked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from eval.config import EngineSection, SamplingSection
from eval.engine import Likelihood, Request, Sampling, open_engine, sampling_of
from eval.engines.hf import TransformersEngine
from merge.sources import Models
from merge.tensor_bytes import entries_hash, tensor_entry
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.eval.given import Given, answered, deaf, picky
from tests.merge.own_code import with_own_code

GREEDY = Sampling(0.0, 24, 1, 0, {})
WARM = Sampling(1.0, 24, 1, 0, {})


@pytest.fixture(scope="module")
def engine(tiny_llama: Path) -> TransformersEngine:
    return TransformersEngine(tiny_llama, "float32", "cpu", 8)


@pytest.fixture
def weights(tiny_llama: Path) -> dict[str, torch.Tensor]:
    return load_file(tiny_llama / "model.safetensors")


@pytest.fixture(autouse=True)
def _original_weights(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> Iterator[None]:
    yield
    engine.load(Given(weights))


def requests(count: int = 20) -> list[Request]:
    return [
        Request(({"role": "user", "content": "abcあいう!?"[: 1 + i % 9] * (1 + i % 3)},), 1000 + i)
        for i in range(count)
    ]


@pytest.mark.deep
@pytest.mark.parametrize("sampling", [GREEDY, WARM])
def test_an_answer_does_not_depend_on_its_batch(engine: TransformersEngine, sampling: Sampling) -> None:
    together = answered(engine, requests(), sampling)
    assert [answered(engine, [one], sampling)[0] for one in requests()] == together
    assert answered(engine, requests()[::-1], sampling)[::-1] == together
    assert len({answer.text for answer in together}) > 5  # the model tells prompts apart


def test_greedy_answers_are_those_of_transformers(engine: TransformersEngine, tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    for request, answer in zip(requests(6), answered(engine, requests(6), GREEDY), strict=True):
        text = f"<|user|>{request.messages[0]['content']}<|assistant|>"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        whole = model.generate(ids, do_sample=False, max_new_tokens=24, pad_token_id=0)[0, ids.shape[1] :]
        assert answer.text == tokenizer.decode(whole, skip_special_tokens=True)
        assert answer.tokens == len(whole)
        assert answer.finish_reason == ("stop" if whole[-1] == 2 else "length")


def test_the_seed_makes_the_sample(engine: TransformersEngine) -> None:
    one, two = (Request(({"role": "user", "content": "abc"},), seed) for seed in (1, 2))
    first = answered(engine, [one, two, one], WARM)
    assert first[0] == first[2] != first[1]


@pytest.mark.deep
def test_swapping_there_and_back(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> None:
    before = answered(engine, requests(), GREEDY)
    engine.load(Given({name: tensor * 0.5 for name, tensor in weights.items()}))
    other = answered(engine, requests(), GREEDY)
    engine.load(Given(weights))
    assert other != before == answered(engine, requests(), GREEDY)


def test_a_tensor_left_out_is_detected(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> None:
    left_out = "model.layers.1.input_layernorm.weight"
    with pytest.raises(CheckpointError, match=f"left unswapped.*{left_out}"):
        engine.load(Given({name: tensor for name, tensor in weights.items() if name != left_out}))


def test_unknown_and_misshapen_tensors(engine: TransformersEngine) -> None:
    with pytest.raises(CheckpointError, match=r"no such tensor.*model\.extra"):
        engine.load(Given({"model.extra": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight has shape \(3,\), the model's is \(64,\)"):
        engine.load(Given({"model.norm.weight": torch.zeros(3)}))


def test_weights_may_be_written_into_the_engine_s_own_places(
    engine: TransformersEngine, weights: dict[str, torch.Tensor]
) -> None:
    def filled(places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in weights.items():
            yield name, places[name].copy_(tensor * 0.5)

    halved = engine.load(Given({name: tensor * 0.5 for name, tensor in weights.items()}))
    wanted = answered(engine, requests(), GREEDY)
    assert engine.load(Given(weights)) != halved
    assert engine.load(filled) == halved
    assert answered(engine, requests(), GREEDY) == wanted


def test_tied_tensors_must_agree(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> None:
    embedding = weights["model.embed_tokens.weight"]
    engine.load(Given({**weights, "lm_head.weight": embedding}))
    with pytest.raises(CheckpointError, match="tied tensors differ"):
        engine.load(Given({**weights, "lm_head.weight": embedding + 1}))


def test_a_prompt_beyond_the_context_is_marked(engine: TransformersEngine) -> None:
    long, short = (Request(({"role": "user", "content": "a" * n},), 0) for n in (60, 5))
    answers = answered(engine, [long, short], GREEDY)  # 64 positions, 24 of them for the answer
    assert [answer.error_kind for answer in answers] == ["too_long", None]
    assert answers[0].text == ""


@pytest.mark.deep
def test_a_batch_too_big_is_halved(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answered(engine, requests(), GREEDY)
    decode, sizes = engine._decode, []

    def cramped(batch: list[list[int]], seeds: list[int], sampling: Sampling) -> Any:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return decode(batch, seeds, sampling)

    monkeypatch.setattr(engine, "_decode", cramped)
    assert answered(engine, requests(), GREEDY) == expected
    assert sizes[:4] == [8, 4, 2, 2]


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from eval.engine import Request, Sampling
from eval.engines.hf import TransformersEngine

torch.set_num_threads(1)
engine = TransformersEngine(Path(sys.argv[1]), "float32", "cpu", 512)
requests = [Request(({"role": "user", "content": "abcdefgh"[: 1 + i % 8] * 4},), i) for i in range(512)]
sampling = Sampling(0.0, 16, 1, 0, {})
expected = dict(engine.generate(requests, sampling))
sizes, decode = [], engine._decode
engine._decode = lambda batch, *others: sizes.append(len(batch)) or decode(batch, *others)
status = Path("/proc/self/status").read_text().split()
taken = int(status[status.index("VmSize:") + 1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (taken + 5_000_000, -1))
print(dict(engine.generate(requests, sampling)) == expected, len(set(sizes)) > 1)
"""


@pytest.mark.deep
def test_a_batch_is_halved_where_memory_really_ends(tiny_llama: Path) -> None:
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(tiny_llama)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_single_prompt_too_big_is_a_clear_line(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "_decode", full)
    with pytest.raises(MergescopeError, match="out of memory with a single prompt"):
        answered(engine, requests(3), GREEDY)


def test_other_runtime_errors_are_bugs(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(engine, "_decode", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        answered(engine, requests(3), GREEDY)


def test_a_missing_chat_template_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_llama, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no chat template"):
        TransformersEngine(bare, "float32", "cpu", 8)
    with pytest.raises(CheckpointError, match=r"bare: no chat template"):
        sampling_of(SamplingSection(), EngineSection(), bare, 0)
    (bare / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"bare: holds no tokenizer"):
        sampling_of(SamplingSection(), EngineSection(), bare, 0)


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        TransformersEngine(tmp_path, "float32", "cpu", 8)


def test_device_and_batch_are_no_part_of_an_answer_but_the_rest_is(tiny_llama: Path) -> None:
    def name(temperature: str = "0", seed: int = 1, **engine: Any) -> str:
        section = SamplingSection(temperature=temperature)  # type: ignore[arg-type]
        return sampling_of(section, EngineSection(**engine), tiny_llama, seed).sampling_id

    assert name() == name(device="cpu") == name(batch_size=3)
    assert name() == name(seed=2)  # greedy: no draw, no seed
    assert name("0.5") != name("0.5", seed=2)
    assert name() != name(dtype="float32")
    assert name(kind="vllm") != name(kind="vllm", tensor_parallel=2)


def test_settings_of_vllm_count_only_where_they_matter(tiny_llama: Path) -> None:
    def setting(**engine: Any) -> Mapping[str, object]:
        return sampling_of(SamplingSection(), EngineSection(**engine), tiny_llama, 0).setting

    assert not {"max_model_len", "tensor_parallel"} & set(setting(max_model_len=512))
    assert "tensor_parallel" not in setting(kind="vllm", tensor_parallel=1)
    split = setting(kind="vllm", tensor_parallel=2, max_model_len=512)
    assert (split["tensor_parallel"], split["max_model_len"]) == (2, 512)


def test_only_vllm_splits_a_model() -> None:
    with pytest.raises(ValidationError, match="tensor_parallel must be 1: only `kind: vllm` splits a model"):
        EngineSection(tensor_parallel=2)


def test_an_answer_is_asked_again_when_a_stop_token_was_mended(tiny_llama: Path, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    shutil.copytree(tiny_llama, mended)
    before = sampling_of(SamplingSection(), EngineSection(), mended, 0).sampling_id
    assert before == sampling_of(SamplingSection(), EngineSection(), tiny_llama, 0).sampling_id
    config = mended / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eos_token_id": [2, 5]}))
    assert sampling_of(SamplingSection(), EngineSection(), mended, 0).sampling_id != before


@pytest.mark.usefixtures("code_cache")
def test_code_of_a_model_runs_only_where_it_may(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(tiny_llama, folder)
    with_own_code(Models(folder, folder, folder))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        open_engine(EngineSection(dtype="float32", device="cpu"), folder)
    engine = open_engine(EngineSection(dtype="float32", device="cpu"), folder, may_run_code=True)
    assert answered(engine, requests(1), GREEDY)[0].error_kind is None


TEXTS = ["abc", "あいう!? abc", "a", "", "zz" * 20, "x" * 62, "x" * 63]


def by_hand(folder: Path, text: str) -> float:
    """The log-likelihood of a text after BOS, one forward pass over all of it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([[1, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    logs = model.requires_grad_(False)(ids).logits.double().log_softmax(-1)[0]
    return sum(float(logs[i, ids[0, i + 1]]) for i in range(ids.shape[1] - 1))


@pytest.mark.parametrize("at_once", [1 << 27, 2000])
def test_likelihoods_are_those_of_a_plain_forward_pass(
    engine: TransformersEngine, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("eval.engines.likelihood.LOGITS", at_once)  # 2,000 logits: a run is one position
    found = engine.log_likelihoods(TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        if one.error_kind is not None:
            continue
        assert one.tokens == len(text)  # one token a character; BOS is given, not predicted
        assert one.log_likelihood == pytest.approx(by_hand(tiny_llama, text), abs=1e-3)
    assert [one.error_kind for one in found] == [None, None, None, "too_short", None, None, "too_long"]
    assert found[3] == Likelihood(0.0, 0, "too_short")  # there is nothing to predict
    assert found[-1] == Likelihood(0.0, 0, "too_long")  # 64 positions hold BOS, 62 characters and one to come


def test_without_a_bos_the_first_token_is_given(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "no-bos"
    shutil.copytree(tiny_llama, folder)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({k: v for k, v in json.loads(config.read_text()).items() if k != "bos_token"}))
    one, other = TransformersEngine(folder, "float32", "cpu", 8).log_likelihoods(["abc", "a"])
    assert one.tokens == 2
    assert other == Likelihood(0.0, 0, "too_short")


def test_a_batch_of_likelihoods_too_big_is_halved(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    import eval.engines.hf

    expected = engine.log_likelihoods(TEXTS)
    whole = eval.engines.hf.log_likelihoods

    def cramped(model: Any, texts: Any, device: Any) -> list[float]:
        if len(texts) > 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return whole(model, texts, device)

    monkeypatch.setattr(eval.engines.hf, "log_likelihoods", cramped)
    for one, other in zip(engine.log_likelihoods(TEXTS), expected, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)


def test_a_swap_is_known_by_its_tensors(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> None:
    swap = engine.load(Given(weights))
    assert (swap.tensors, swap.bytes) == (len(weights), sum(tensor.nbytes for tensor in weights.values()))
    assert swap.sha256 == entries_hash({name: tensor_entry(tensor) for name, tensor in weights.items()})
    assert engine.load(Given(dict(reversed(weights.items())))) == swap  # whatever the order
    name = "model.norm.weight"
    flipped = weights[name].clone()
    flipped[0] = -flipped[0]
    assert engine.load(Given({**weights, name: flipped})).sha256 != swap.sha256


def test_a_tensor_that_comes_twice_is_named(engine: TransformersEngine, weights: dict[str, torch.Tensor]) -> None:
    name = "model.norm.weight"
    with pytest.raises(CheckpointError, match=rf"came twice.*{name}"):
        engine.load(lambda _: iter([*weights.items(), (name, weights[name])]))


def test_a_conversation_that_the_template_refuses(tiny_llama: Path, tmp_path: Path) -> None:
    engine = TransformersEngine(picky(tiny_llama, tmp_path), "float32", "cpu", 8)
    with pytest.raises(CheckpointError, match=r"picky: the chat template refuses a prompt: no system here"):
        answered(engine, [Request(({"role": "system", "content": "a"}, {"role": "user", "content": "b"}), 0)], GREEDY)


@pytest.mark.parametrize("content", ["敬語で。", "b"], ids=["long", "said by the user too"])
def test_a_system_turn_that_the_template_leaves_out(tiny_llama: Path, tmp_path: Path, content: str) -> None:
    """Else the model is asked something else than the prompt says, and nobody hears of it."""
    engine = TransformersEngine(deaf(tiny_llama, tmp_path), "float32", "cpu", 8)
    user = {"role": "user", "content": "b"}
    assert answered(engine, [Request((user,), 0)], GREEDY)[0].error_kind is None
    with pytest.raises(CheckpointError, match=r"deaf: the chat template leaves out what a system message says.*takes"):
        answered(engine, [Request(({"role": "system", "content": content}, user), 0)], GREEDY)
