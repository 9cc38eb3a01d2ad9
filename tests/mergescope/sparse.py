"""Checkpoints of any size that take no room: real headers over files with holes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

ITEM_BYTES = {"BF16": 2, "F32": 4}
LLM_JP_13B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 5120,
    "intermediate_size": 13_824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 99_584,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
"""The shape of the contest's base."""


def write_llama(folder: Path, config: Mapping[str, object] = LLM_JP_13B, dtype: str = "BF16") -> int:
    """An untied Llama of that shape without contents; returns its number of parameters."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    place, header = 0, {}
    for name, shape in _shapes(config).items():
        end = place + ITEM_BYTES[dtype] * shape[0] * shape[-1] ** (len(shape) - 1)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, end]}
        place = end
    raw = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        stream.truncate(8 + len(raw) + place)
    return place // ITEM_BYTES[dtype]


def _shapes(config: Mapping[str, object]) -> dict[str, list[int]]:
    hidden, inner, vocabulary, layers = (
        int(str(config[key])) for key in ("hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers")
    )
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
    for i in range(layers):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}self_attn.{part}_proj.weight": [hidden, hidden] for part in "qkvo"}
        shapes |= {f"{layer}mlp.{part}_proj.weight": [inner, hidden] for part in ("gate", "up")}
        shapes |= {f"{layer}mlp.down_proj.weight": [hidden, inner]}
        shapes |= {f"{layer}{part}_layernorm.weight": [hidden] for part in ("input", "post_attention")}
    return {**shapes, "lm_head.weight": [vocabulary, hidden]}
