"""Processes of one vLLM engine each: answers of a fresh engine, and swaps that leave a tensor behind on purpose.

python -m benchmarks.fresh_engine answers FOLDER DTYPE CALLS.pickle OUT.pickle
python -m benchmarks.fresh_engine unswapped OPENED SWAPPED DTYPE OUT.json
"""

from __future__ import annotations

import json
import operator
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mergescope.environment import offline, share_cores, without_telemetry

CONTEXT = 1024
"""Longest prompt and answer together, in tokens."""
LEFT = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
    "model.layers.1.input_layernorm.weight",
    "model.norm.weight",
)
"""Tensors to leave behind, one after the other: packed ones, parts of fused ones, norms, and the tied head's."""


def opened(folder: Path, dtype: str) -> Any:
    """The product's engine on a folder's own weights."""
    from eval.config import EngineSection
    from eval.engine import open_engine

    section = {"kind": "vllm", "dtype": dtype, "device": "cpu", "max_model_len": CONTEXT}
    return open_engine(EngineSection.model_validate(section), folder)


def answers(folder: str, dtype: str, calls: str, out: str) -> None:
    """Have a fresh engine on `folder` do the very calls of `generate` that a sweep did."""
    engine = opened(Path(folder), dtype)
    done = [
        [answer for _, answer in sorted(engine.generate(requests, sampling), key=operator.itemgetter(0))]
        for requests, sampling in pickle.loads(Path(calls).read_bytes())
    ]
    Path(out).write_bytes(pickle.dumps(done))
    engine.close()


def unswapped(start: str, target: str, dtype: str, out: str) -> None:
    """Swap one model for another with one tensor left behind, by two ways; writes what was said to each.

    missing: it is not in the stream. kept: it is, and vLLM keeps its old values (its loader drops the new ones).
    """
    engine = opened(Path(start), dtype)
    found: dict[str, dict[str, str | None]] = {"missing": {}, "kept": {}}
    for name in LEFT:
        _swap(engine, Path(start))
        found["missing"][name] = _complaint(lambda left=name: _swap(engine, Path(target), without=left))
        _swap(engine, Path(start))
        with _kept(name, _stored(Path(start))[name]):
            found["kept"][name] = _complaint(lambda: _swap(engine, Path(target)))
    _swap(engine, Path(target))  # and a whole swap is not refused
    Path(out).write_text(json.dumps(found), encoding="utf-8")
    engine.close()


def _stored(folder: Path) -> dict[str, Any]:
    from merge.weights import StoredWeights

    return dict(StoredWeights(folder)({}))


def _swap(engine: Any, folder: Path, without: str = "") -> None:
    stored = _stored(folder)
    engine.load(lambda _places: ((name, tensor) for name, tensor in stored.items() if name != without))


def _complaint(swap: Any) -> str | None:
    from mergescope.ground.errors import CheckpointError

    try:
        swap()
    except CheckpointError as error:
        return error.line()
    return None


class _kept:  # noqa: N801  # used as `with _kept(...)`
    """For the block, vLLM's Llama takes a tensor's old values whatever is streamed."""

    def __init__(self, name: str, old: Any) -> None:
        self._name, self._old = name, old

    def __enter__(self) -> None:
        from vllm.model_executor.models.llama import LlamaForCausalLM

        self._method = method = LlamaForCausalLM.load_weights

        def load_weights(model: Any, weights: Iterator[tuple[str, Any]]) -> Any:
            return method(model, ((n, self._old if n == self._name else t) for n, t in weights))

        LlamaForCausalLM.load_weights = load_weights

    def __exit__(self, *_: object) -> None:
        from vllm.model_executor.models.llama import LlamaForCausalLM

        LlamaForCausalLM.load_weights = self._method


if __name__ == "__main__":
    without_telemetry()
    share_cores()
    offline()
    {"answers": answers, "unswapped": unswapped}[sys.argv[1]](*sys.argv[2:])
