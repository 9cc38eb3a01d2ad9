"""A mixture's weights in its stored form and in its own, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from eval.engines.layout import Layout, layout_of
from mergescope.ground.errors import CheckpointError

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
EXPERTS = {"num_local_experts": 3, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
STORED = {"MixtralConfig": "block_sparse_moe.experts.1.w3", "Qwen3MoeConfig": "mlp.experts.1.up_proj"}


@pytest.fixture(params=sorted(STORED))
def mixture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path, str]:
    """A mixture, the folder that it is stored in, and the stored name of a part of its second expert."""
    config = getattr(transformers, request.param)(**SMALL, **EXPERTS, num_key_value_heads=1)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    return model, tmp_path, f"model.layers.0.{STORED[request.param]}.weight"


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_either_form_becomes_the_other(mixture: tuple[Any, Path, str]) -> None:
    model, folder, _ = mixture
    stored, own, layout = load_file(folder / "model.safetensors"), model.state_dict(), layout_of(folder)
    assert_same(dict(layout.as_own(stored.items())), own)
    assert_same(dict(layout.as_own(own.items())), own)
    assert_same(dict(layout.as_stored(own.items())), stored)
    assert_same(dict(layout.as_stored(stored.items())), stored)


def test_a_part_that_is_missing(mixture: tuple[Any, Path, str]) -> None:
    model, folder, part = mixture
    layout = Layout(model, folder)
    stored = load_file(folder / "model.safetensors")
    del stored[part]
    with pytest.raises(CheckpointError, match=f"left unswapped.*{part}"):
        list(layout.as_stored(stored.items()))
    assert set(model.state_dict()) - set(dict(layout.as_own(stored.items()))) == {
        "model.layers.0.mlp.experts.gate_up_proj"
    }


def test_a_part_of_another_shape(mixture: tuple[Any, Path, str]) -> None:
    _, folder, part = mixture
    with pytest.raises(CheckpointError, match=rf"{part} has shape \(3,\)"):
        list(layout_of(folder).as_stored([(part, torch.zeros(3))]))
