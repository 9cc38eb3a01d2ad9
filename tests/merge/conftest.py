"""Small random models, and merges of them by the stock command, made once per run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from merge.bundle import BundleInputs, Story, write_bundle
from merge.gates import Gate
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.merger import open_merger
from merge.methods import METHODS, MethodName
from merge.points import MergePoint, Mode
from merge.sources import Models
from merge.stock import stock_merge

SEED = 11
FAMILIES = {
    "llama": "LlamaConfig",
    "demo": "LlamaConfig",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "gemma2": "Gemma2Config",
    "gemma3": "Gemma3TextConfig",
    "mistral": "MistralConfig",
    "phi3": "Phi3Config",
    "olmo2": "Olmo2Config",
    "mixtral": "MixtralConfig",
    "qwen3_moe": "Qwen3MoeConfig",
    "gpt_neox": "GPTNeoXConfig",
}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
OF_THE_DEMO = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4}


def a_point(
    ratio: str = "0.3",
    mode: Mode = "complementary",
    safe: str = "0.5",
    useful: str = "0.5",
    lambda_: str = "1",
    seed: int = SEED,
    method: MethodName = "dare_ties",
    **others: Any,
) -> MergePoint:
    """A merge point in few words, with its method's own rescale unless another is given."""
    return MergePoint(
        method=method,
        mode=mode,
        ratio=Decimal(ratio),
        density_safe=Decimal(safe),
        density_useful=Decimal(useful),
        lambda_=Decimal(lambda_),
        mask_seed=seed,
        **{"rescale": METHODS[method].rescale, **others},
    )


DEMO_POINT = a_point("0.3", safe="0.5", useful="0.3")
"""The point that most tests share, so that its masks are drawn once."""


def an_estimate(value: float | None = 4.5, **others: object) -> dict[str, object]:
    """One estimate of scores.json."""
    low, high = (None, None) if value is None else (value - 0.5, value + 0.25)
    plain = {"value": value, "low": low, "high": high, "n": 60, "n_unscored": 0, "worst": value, "best": value}
    return {**plain, "note": None if value is not None else "no scored item", **others}


def a_story(*gates: Gate, **others: object) -> Story:
    """What a caller may tell of DEMO_POINT: two judges, a base, an end, and a name with markup in it."""
    found = {"refusal_f1": an_estimate(None), "over_refusal_rate": an_estimate(0.5), "safety": an_estimate()}
    splits = {split: dict(found) for split in ("select", "confirm", "all")}
    metrics = {
        "safety": {"form": "mean", "lowest": 1.0, "highest": 5.0, "higher_is_better": True},
        "over_refusal_rate": {"form": "rate", "lowest": 0.0, "highest": 1.0, "higher_is_better": False},
    }
    judge = {"name": "proxy ja", "kind": "proxy", "label": "proxy ja", "trust": "not calibrated"}
    checkpoints = [
        {"role": role, "label": label, "checkpoint_id": "c1_0", "ratio": None, "splits": splits}
        for role, label in (("point", "r 0.30"), ("base", "base"), ("end", "r 0"))
    ]
    sets = [{"name": "seen", "version": "0" * 12, "sha256": "0" * 64, "licence": "CC0-1.0", "items": 60}]
    other = {**judge, "name": "m", "kind": "llm", "label": "m (llm)", "checkpoints": []}
    model = {"source": "made | by | <us>", "licence": "MIT", "made_by": ["people"]}
    parts: dict[str, object] = {
        "scores": {
            "study": "demo",
            "metrics": metrics,
            "prompt_sets": sets,
            "judges": [{**judge, "checkpoints": checkpoints}, other],
        },
        "choice": {"rule": "safety >= 4", "by": "A. Chooser", "when": "2026-01-01T00:00:00+00:00", "note": None},
        "provenance": {
            "licence": "Apache-2.0",
            "language": ["ja"],
            "models": {"base": model, "safe": model, "useful": model},
            "training_data": {"safe": [{"source": None, "licence": "MIT", "made_by": "template", "triples": 3}]},
            "notes": ["one file changed"],
        },
        "gates": gates,
    }
    return Story(**(parts | others))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class World:
    """Three models to merge."""

    models: Models
    dtype: str


def build_models(
    folder: Path, *, family: str = "llama", tied: bool = False, dtype: str = "float32", width: int = 64
) -> World:
    """A base with negative zeros in it, and two fine-tunes that moved away from it, some entries not at all."""
    import torch
    import transformers

    generator = torch.Generator().manual_seed(3)
    config = getattr(transformers, FAMILIES[family])(
        **(OF_THE_DEMO if family == "demo" else {**SMALL, "hidden_size": width}),
        **(EXPERTS if family in ("mixtral", "qwen3_moe") else {}),
        vocab_size=1000,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    for role in ("base", "safe", "useful"):
        with torch.no_grad():
            for weight in model.parameters():
                _change(weight.view(-1), role, generator)
        model.save_pretrained(folder / role)
    return World(Models(folder / "base", folder / "safe", folder / "useful"), dtype)


def _change(flat: torch.Tensor, role: str, generator: torch.Generator) -> None:  # noqa: F821 - imported late
    import torch

    if role == "base":
        flat[::5] = -0.0
        return
    step = torch.randn(flat.shape, generator=generator) * 0.01
    step[::3] = 0.0
    # model-safe is saved before model-useful is made from it: their task vectors overlap and differ.
    flat.add_(step.to(flat.dtype))
    flat[::10] = 0.0 if role == "safe" else -0.0


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Models by family, tying and dtype, each made once."""
    made: dict[tuple[str, bool, str], World] = {}

    def get(family: str = "llama", *, tied: bool = False, dtype: str = "float32") -> World:
        key = (family, tied, dtype)
        if key not in made:
            made[key] = build_models(tmp_path_factory.mktemp("models"), family=family, tied=tied, dtype=dtype)
        return made[key]

    return get


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Weights merged by the stock command, each setting run once."""
    made: dict[object, Path] = {}

    def get(world: World, point: MergePoint, *, threads: int = 1, level: str) -> Path:
        key = (world.models, point, threads)
        if key not in made:
            text = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], world.dtype))
            roles = (point.base_role, *point.term_roles)
            room = tmp_path_factory.mktemp("stock")
            made[key] = stock_merge(room, text, world.models, roles, seed=point.mask_seed, threads=threads, level=level)
        return made[key]

    return get


@pytest.fixture(scope="session")
def shared_masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study folder for all tests, so that masks of one setting are drawn once."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture
def demo_world(worlds: Callable[..., World]) -> World:
    return worlds("demo", tied=True)


@pytest.fixture
def inputs(shared_masks: Path, demo_world: World) -> BundleInputs:
    return BundleInputs(demo_world.models, open_merger(shared_masks, DEMO_POINT, demo_world.models, threads=1))


@pytest.fixture
def bundle(tmp_path: Path, inputs: BundleInputs) -> Path:
    write_bundle(tmp_path / "bundle", DEMO_POINT, inputs, a_story())
    return tmp_path / "bundle"
