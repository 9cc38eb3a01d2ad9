"""The sizes of a decoder, as far as the memory of its training depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LLM_JP_3_13B = {
    "hidden_size": 5120,
    "num_hidden_layers": 40,
    "intermediate_size": 13824,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 99584,
    "tie_word_embeddings": False,
}
PUBLISHED = {"llm-jp/llm-jp-3-13b": _LLM_JP_3_13B}
"""config.json of models that a shipped recipe names, as its makers publish it; fine-tunes of a name keep its sizes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of gated-MLP layers, such as Llama's."""

    layers: int
    width: int
    """Of the residual stream."""
    inner: int
    """Width within the MLP."""
    queries: int
    """Heads times their width."""
    keys: int
    """The same of the keys, and of the values."""
    vocabulary: int
    """Rows of the embedding."""
    tied: bool
    """Whether the output head is the embedding."""

    @property
    def linear_sizes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of one layer's linear modules: query, key, value, output, gate, up, down."""
        square, narrow = (self.width, self.queries), (self.width, self.keys)
        return (square, narrow, narrow, square[::-1], *[(self.width, self.inner)] * 2, (self.inner, self.width))

    @property
    def linear(self) -> int:
        """Weights in all layers' linear modules: what an adapter stands beside, and what four bits hold."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear_sizes)

    @property
    def layer(self) -> int:
        """Parameters of one layer, its two norms included."""
        return self.linear // self.layers + 2 * self.width

    @property
    def parameters(self) -> int:
        """All parameters: embedding, layers, the last norm, and the head where it is not tied."""
        return self.vocabulary * self.width * (1 if self.tied else 2) + self.layers * self.layer + self.width

    def adapter(self, rank: int) -> int:
        """Parameters of low-rank factors beside all linear modules of the layers."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.linear_sizes)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The shape that a config.json tells; None where it lacks one of the sizes."""
    config = config.get("text_config", config)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    width, layers, heads, vocabulary = (config.get(name) for name in names)
    inner = config.get("intermediate_size")
    if not (width and layers and heads and vocabulary and inner):
        return None
    head = config.get("head_dim") or width // heads
    keys = (config.get("num_key_value_heads") or heads) * head
    return Shape(layers, width, inner, heads * head, keys, vocabulary, bool(config.get("tie_word_embeddings", False)))


def published_shape(name: str) -> Shape | None:
    """The shape of a model that is not here, by its Hub id; None where it is not in the table."""
    found = (config for start, config in PUBLISHED.items() if name.partition("@")[0].startswith(start))
    config = next(found, None)
    return None if config is None else shape_of(config)
