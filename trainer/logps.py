"""Log-probabilities of answers under the base, computed once per study for whatever training asks for them.

model-safe and model-useful have one base, and most of what one is tuned on the other is tuned on too. A file holds
numbers by content hash and no text, so that it may outlive the texts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mergescope.ground.errors import CheckpointError
from mergescope.ground.files import disk_refusals
from mergescope.ground.ids import content_id, full_hash
from mergescope.ground.progress import Reporter

if TYPE_CHECKING:
    import torch

LOGPS = "logps"
"""Folder in the study's."""
IGNORED = -100
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Continuation:
    """An answer after a context, as token ids."""

    context: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def key(self) -> str:
        """Content id."""
        return content_id("l1", [list(self.context), list(self.answer)])


class LogpFile:
    """Log-probabilities of answers' tokens by key; JSONL, one process writes it."""

    def __init__(self, path: Path) -> None:
        """path: of one base and one way to compute, see `file_of`. Lines that are torn or have changed are left out."""
        self._path = path
        self._found: dict[str, Floats] = {}
        for line in path.read_bytes().split(b"\n") if path.is_file() else ():
            with suppress(ValueError, KeyError, TypeError):  # as if the line were not there: it is asked for again
                row = json.loads(line)
                raw = base64.b64decode(row["logps"])
                if row["sha256"] == _digest(row["key"], raw):
                    self._found[row["key"]] = np.frombuffer(raw, dtype="<f4")

    def __contains__(self, asked: Continuation) -> bool:
        return asked.key in self._found

    def logps(self, asked: Continuation) -> Floats:
        """Of each token of the answer, natural logarithm, (T,); KeyError where it is not there."""
        return self._found[asked.key]

    def add(self, rows: Iterable[tuple[Continuation, Floats]]) -> None:
        """Put rows into the file, on disk when this returns."""
        text = b""
        for asked, values in rows:
            whole = np.ascontiguousarray(values, dtype="<f4")
            self._found[asked.key] = whole
            raw = whole.tobytes()
            row = {"key": asked.key, "logps": base64.b64encode(raw).decode(), "sha256": _digest(asked.key, raw)}
            text += b"\n" + json.dumps(row).encode()  # the line's end first: a torn line spoils no other
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with disk_refusals(self._path), self._path.open("ab") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())


def file_of(study: Path, base_id: str, numerics: str, versions: Mapping[str, str]) -> Path:
    """Where a study keeps the log-probabilities of one base.

    numerics: what computed them, such as float32. versions: of the libraries that did, by name.
    """
    return study / LOGPS / f"{base_id}-{numerics}-{full_hash(dict(versions))[:8]}.jsonl"


def _digest(key: str, raw: bytes) -> str:
    """sha256 over a line's key and numbers: disks and editors change files, and no later check would find it."""
    return hashlib.sha256(key.encode() + raw).hexdigest()


def complete(
    file: LogpFile,
    asked: Iterable[Continuation],
    model: Callable[[], Any],
    batch: int,
    reporter: Reporter,
    *,
    autocast: bool = False,
    exact_head: bool = False,
) -> None:
    """Compute what the file lacks of `asked`, `batch` answers a forward pass; a kill loses the pass under way.

    Raises CheckpointError where the base gives something else than a finite number.

    model: gives transformers' causal model, and is not called where nothing is lacking. autocast: to bfloat16, as the
    policy computes. exact_head: see `scoring`. Answers go by length, so that little is padding, and in the same order
    after a kill.
    """
    lacking = list(dict.fromkeys(one for one in asked if one not in file))
    if not lacking:
        return
    lacking.sort(key=lambda one: (len(one.context) + len(one.answer), one.key))
    loaded = scoring(model(), exact_head=exact_head)
    with reporter.task("reference", len(lacking), "answers") as task:
        for some in _batches(lacking, batch):
            found = answer_logps(loaded, some, autocast=autocast)
            _require_finite(found)
            file.add(zip(some, found, strict=True))
            task.advance(len(some))


def _require_finite(found: Iterable[Floats]) -> None:
    if not all(np.isfinite(values).all() for values in found):
        cure = "look for NaN in its weights, or set train.*.dtype: float32"
        raise CheckpointError("the base gives an answer a log-probability that is no finite number", cure=cure)


def scoring(model: Any, *, exact_head: bool = False) -> Any:
    """The model, able to say log-probabilities alone: TRL's head, which never holds logits of the whole vocabulary.

    exact_head: logits in float32 whatever computes the rest. Bfloat16 rounds those above 16 to steps of 1/8.
    """
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, cast_lm_head_to_fp32=exact_head)
    return model.eval()


def answer_logps(model: Any, asked: Sequence[Continuation], *, autocast: bool = False) -> list[Floats]:
    """Of each answer's tokens, each of shape (T,); the model as `scoring` leaves it."""
    import torch

    rows = [(*one.context, *one.answer) for one in asked]
    starts = [len(one.context) for one in asked]
    inputs = {name: tensor.to(model.device) for name, tensor in padded(rows, starts).items()}
    with torch.inference_mode(), torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=autocast):
        logps = model(**inputs, use_cache=False, fused_lm_head=True).log_probs.float().cpu().numpy()
    return [logps[i, start - 1 : len(row) - 1] for i, (row, start) in enumerate(zip(rows, starts, strict=True))]


def padded(rows: Sequence[Sequence[int]], starts: Sequence[int], pad: int = 0) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and labels (B, T), padded on the right; labels from `starts` (tokens) on."""
    import torch

    width = max(map(len, rows))
    filled = [[*row, *[pad] * (width - len(row))] for row in rows]
    seen = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    labels = [
        [*[IGNORED] * start, *row[start:], *[IGNORED] * (width - len(row))]
        for row, start in zip(rows, starts, strict=True)
    ]
    names = ("input_ids", "attention_mask", "labels")
    return {name: torch.tensor(values) for name, values in zip(names, (filled, seen, labels), strict=True)}


def _batches(asked: Sequence[Continuation], size: int) -> Iterator[Sequence[Continuation]]:
    for start in range(0, len(asked), size):
        yield asked[start : start + size]
