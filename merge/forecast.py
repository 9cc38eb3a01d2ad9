"""What merging a study will take, from file headers and the recipe alone: bytes, memory, disk, seconds.

Pure functions of values. What only a machine can tell comes in as `Rates`; constants say what they were measured on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from merge.headers import DTYPES, StoredTensor
from merge.planes import plane_bytes

ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of an element, by torch's name of its dtype."""
Headers = Mapping[str, StoredTensor]
"""A checkpoint's tensors by name, as `merge.sources.stored_tensors` reads them."""

PROCESS_BYTES = 400_000_000
"""Own memory of a process that has loaded torch and mergekit and no weights: 0.32 GB measured."""
DRAW_BYTES = 5
"""Bytes a parameter that drawing holds beside the float32 copies of its sources: magnitudes in float32, and the masks.
3.9 and 4.1 measured (tensors of 66M parameters, bf16 and float32); 13 where no C compiler is found."""
STOCK_BYTES = 28
"""The same of mergekit's whole merge, which keeps each masked term and its signs: 17 and 25 measured; how much it holds
at once depends on a tensor's neighbours."""
ADAPT_BYTES = 4
"""Bytes a parameter of a base that an adapter is merged into: peft has all of it in float32."""
SHARD_BYTES = 5_000_000_000
"""Most bytes of tensors that wait to be written as a shard (`merge.materialize`)."""

BENCHMARK = "benchmarks/results/merge_grid.json"
BLEND_PER_COPY = 0.58
"""The blend's bytes a second over plain copy's: blend_per_copy of the 336M model there. Much less where no C compiler
is found."""
STOCK_PER_COPY = 0.0066
"""The same of mergekit's whole merge: stock_s there, less its process's start, over 8 bytes a parameter."""
COPIED_PER_ENTRY = 100
"""Bytes that plain copy moves in the time in which drawing handles one entry of one task vector, on one thread: 60 to
110 measured on models of 117M and 187M."""
COPIED_PER_ADAPTED = 300
"""The same of merging one parameter of an adapter's base, written out: 220 to 360 measured on models of 62M and 187M
whose every projection is tuned."""
START_S = 4.0
"""Seconds until a process has loaded torch and mergekit, measured on two idle cores."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast this machine is, measured just before a forecast."""

    copy: float
    """Bytes a second of plain copy in memory on all cores, read and written bytes both counted."""
    digest: float
    """Bytes a second of sha256 on one core."""
    read: float | None
    """Bytes a second from the disk that holds the weights; None where they are too small to tell."""


@dataclass(frozen=True, slots=True)
class MergeInputs:
    """What the merges of one mask seed read."""

    base: Headers
    """The merge's base; model-useful in mode into-useful."""
    tuned: tuple[Headers, ...]
    """The models of its terms, in order."""
    densities: tuple[Decimal, ...]
    """Share of each term's task vector that is kept; at 1 nothing is drawn."""
    out_dtype: str
    """torch's name of the output's dtype."""

    @property
    def parameters(self) -> int:
        """Parameters of one merge."""
        return sum(tensor.numel for tensor in mergeable(self.base).values())

    @property
    def source_bytes(self) -> int:
        """Bytes of all tensors that one pass reads."""
        return sum(stored_bytes(model) for model in (self.base, *self.tuned))

    @property
    def output_bytes(self) -> int:
        """Bytes of one merge's tensors: what a checkpoint of it takes, and what an engine is handed."""
        return self.parameters * ITEM_BYTES[self.out_dtype]

    @property
    def mask_bytes(self) -> int:
        """Bytes of planes.bin, as the function `mask_bytes` counts them."""
        return mask_bytes(self.base, self.densities)

    @property
    def draw_memory(self) -> int:
        """Bytes of its own that the drawing process takes at its peak."""
        return PROCESS_BYTES + max((p.copied + p.numel * DRAW_BYTES for p in self._pieces()), default=0)

    @property
    def blend_memory(self) -> int:
        """Bytes of its own that blending takes: the tensor just made, and the one that the engine still holds."""
        sizes = sorted(p.numel * ITEM_BYTES[self.out_dtype] + (p.copied if p.fused else 0) for p in self._pieces())
        return PROCESS_BYTES + sum(sizes[-2:])

    @property
    def stock_memory(self) -> int:
        """Bytes of its own that mergekit's process takes where it makes the whole merge."""
        return PROCESS_BYTES + max((p.copied + p.numel * STOCK_BYTES for p in self._pieces()), default=0)

    @property
    def export_memory(self) -> int:
        """Bytes of its own that `export --materialize` takes beside making the merge: a shard that waits."""
        return min(self.output_bytes, SHARD_BYTES)

    def _pieces(self) -> Iterator[_Piece]:
        """What mergekit handles at a time: a tensor, or a layer's experts, which it fuses (counted as one tensor, while
        it makes two of them)."""
        groups: dict[str, list[str]] = {}
        for name in mergeable(self.base):
            groups.setdefault(re.sub(r"\.experts\.\d+\..*", ".experts", name), []).append(name)
        for names in groups.values():
            fused = len(names) > 1
            # a float32 source that is not fused stays in its mapped file
            copied = [m[n].numel * 4 for m in (self.base, *self.tuned) for n in names if _is_copied(m, n) or fused]
            yield _Piece(sum(self.base[name].numel for name in names), sum(copied), fused)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is in memory at once."""

    numel: int
    copied: int
    """Bytes of float32 copies of all sources."""
    fused: bool
    """Whether mergekit makes it from several stored tensors."""


def _is_copied(model: Headers, name: str) -> bool:
    return name in model and model[name].dtype != "F32"


@dataclass(frozen=True, slots=True)
class Need:
    """What one piece of work takes, each time that it is done."""

    name: str
    """The work, in words."""
    times: int
    """How often the study does it; 0: only when asked for."""
    read: int
    """Bytes read, from disk or from the page cache."""
    written: int
    """Bytes written to disk."""
    memory: int
    """Bytes of the process's own memory at its peak."""
    mapped: int
    """Bytes of files that it maps: page cache, which the system takes back when memory is short."""
    seconds: float
    """An estimate; see `Rates` and the constants above."""


def mergeable(model: Headers) -> Headers:
    """The floating-point tensors: all that a merge is made of."""
    return {name: tensor for name, tensor in model.items() if tensor.dtype in DTYPES}


def stored_bytes(model: Headers) -> int:
    """Bytes of a checkpoint's floating-point tensors."""
    return sum(tensor.numel * ITEM_BYTES[DTYPES[tensor.dtype]] for tensor in mergeable(model).values())


def parameters_by_dtype(model: Headers) -> dict[str, int]:
    """Number of parameters by torch's name of their dtype, most first; other than floating-point ones are left out."""
    counts: Counter[str] = Counter()
    for tensor in mergeable(model).values():
        counts[DTYPES[tensor.dtype]] += tensor.numel
    return dict(counts.most_common())


def main_dtype(model: Headers) -> str:
    """torch's name of the dtype that most bytes are stored in: the merge's output dtype, if this is its base.

    Raises ValueError for a model without floating-point tensors.
    """
    sizes = {dtype: count * ITEM_BYTES[dtype] for dtype, count in parameters_by_dtype(model).items()}
    return max(sizes, key=sizes.__getitem__)


def as_trained(base: Headers) -> Headers:
    """What a fine-tune of `base` will hold: training keeps and writes its weights in float32."""
    return {name: replace(tensor, dtype="F32") for name, tensor in mergeable(base).items()}


def hash_need(inputs: MergeInputs, rates: Rates) -> Need:
    """Reading and hashing the weights, once: hashes are remembered by device, inode, size and time."""
    read = inputs.source_bytes
    return Need("hash the weights", 1, read, 0, 0, 0, _from_disk(read / rates.digest, read, rates))


def mask_bytes(base: Headers, densities: Iterable[Decimal]) -> int:
    """Bytes of planes.bin: one bit a parameter and term with a density below 1, in whole blocks a tensor.

    Equal to the drawn file, but for a mixture's experts, which mergekit fuses before it draws: less rounding.
    """
    drawn = sum(density < 1 for density in densities)
    return drawn * sum(plane_bytes(tensor.numel) for tensor in mergeable(base).values())


def adapt_need(base: Headers, rates: Rates, times: int) -> Need:
    """Merging an adapter into its base, in a process of its own that writes the whole model."""
    size, sizes = stored_bytes(base), [tensor.numel for tensor in base.values()]
    memory = PROCESS_BYTES + (sum(sizes) + max(sizes)) * ADAPT_BYTES + min(size, SHARD_BYTES)
    seconds = START_S + _from_disk(sum(sizes) * COPIED_PER_ADAPTED / rates.copy, 2 * size, rates)
    return Need("merge an adapter", times, size, size, memory, size, seconds)


def draw_need(inputs: MergeInputs, rates: Rates, times: int) -> Need:
    """Drawing the masks and scales of one mask seed in a process of its own."""
    read = inputs.source_bytes
    work = inputs.parameters * len(inputs.tuned) * COPIED_PER_ENTRY / rates.copy
    seconds = START_S + _from_disk(work, read, rates)
    return Need("draw the masks", times, read, inputs.mask_bytes, inputs.draw_memory, read, seconds)


def blend_need(inputs: MergeInputs, rates: Rates, times: int, cache: int) -> Need:
    """One pass of the blend over mapped files into the engine. cache: bytes of memory left for mapped files."""
    read = inputs.source_bytes + inputs.mask_bytes
    work = (read + inputs.output_bytes) / (rates.copy * BLEND_PER_COPY)
    seconds = work if read <= cache else _from_disk(work, read, rates)
    return Need("blend a ratio", times, read, 0, inputs.blend_memory, read, seconds)


def stock_need(inputs: MergeInputs, rates: Rates, times: int) -> Need:
    """One whole merge by mergekit in a process of its own, whose tensors go to the engine and not to the disk."""
    read = inputs.source_bytes
    work = (read + inputs.output_bytes) / (rates.copy * STOCK_PER_COPY)
    return Need("merge by mergekit", times, read, 0, inputs.stock_memory, read, START_S + _from_disk(work, read, rates))


def export_need(inputs: MergeInputs, rates: Rates, made: Need) -> Need:
    """`export --materialize`: the merge is made once, hashed and written as it passes, and read back and hashed again.

    made: the need of making it once.
    """
    out = inputs.output_bytes
    written = 0 if rates.read is None else out / rates.read  # a disk is taken to write as fast as it reads
    seconds = made.seconds + 2 * out / rates.digest + written
    memory = made.memory + inputs.export_memory
    return Need("export --materialize", 0, made.read + out, out, memory, made.mapped, seconds)


def fits_disk(needed: int, free: int) -> bool:
    """Whether `needed` bytes go on a disk with `free` bytes left: one per cent and 1 MiB stay for file system, index
    and manifest."""
    return needed * 1.01 + (1 << 20) <= free


def _from_disk(work: float, count: int, rates: Rates) -> float:
    """Seconds of work on `count` bytes that come from the disk meanwhile."""
    return work if rates.read is None else max(work, count / rates.read)
