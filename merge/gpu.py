"""The blend on a CUDA device, with the CPU's bits: sources and masks stream to it, or stay there between ratios."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from merge.kernel import Empty, Inputs, Kernel, Make, TermTensors, blend_eager, merged
from merge.masks import TensorRecord
from merge.planes import BLOCK, WIDTH, pack
from mergescope.ground.errors import MergescopeError
from mergescope.ground.memory import memory

NO_FUSION = {"emulate_precision_casts": True}
"""Inductor's option that keeps Triton from fusing a multiplication and an addition, which would round once where
mergekit rounds twice."""

Keep = Literal["mapped", "pinned", "device"]
SHARE_OF_MEMORY = 0.5
"""Most of the machine's free memory that pinned copies of the sources may take, those of all workers together."""


class Gpu:
    """A CUDA device as a place to blend on."""

    def __init__(self, device: str = "cuda", keep: Keep | None = None) -> None:
        """keep: where sources and masks stay between ratios: in their files, in pinned host memory, or on the device.

        None pins them where half of the free memory holds them, for a copy from a file's pages waits for the CPU.
        Raises MergescopeError where there is no such device, or one whose bits are not the CPU's.
        """
        if not torch.cuda.is_available():
            raise MergescopeError("torch finds no CUDA device", where="merge.device", value=device, cure="take cpu")
        self.where = torch.device(device)
        """Where inputs and outputs lie."""
        self.kernel: Kernel = gpu_blend(self.where)
        """One fused pass."""
        self._keep = keep
        self._known: dict[TensorRecord, Inputs] = {}
        self._make: Make | None = None

    def memory(self, held: int) -> Empty:  # noqa: ARG002 - torch has a pool of its own on a GPU
        """torch's pool."""
        return functools.partial(_empty, self.where)

    def staged(self, records: Sequence[TensorRecord], make: Make) -> Iterator[tuple[TensorRecord, Inputs]]:
        """Each record's inputs on the device; the next ones are on their way meanwhile."""
        if make != self._make:
            self._known.clear()  # what another Blender has put here
            self._make = make
        if self._keep is None:
            share = SHARE_OF_MEMORY * memory().available / _workers()
            self._keep = "pinned" if _pinned_bytes(records, make) < share else "mapped"
        if self._keep == "device":
            for record in records:
                yield record, self._once(record, make, lambda tensor: tensor.to(self.where))
        elif self._keep == "pinned":
            yield from _streamed(((r, self._once(r, make, torch.Tensor.pin_memory)) for r in records), self.where)
        else:
            yield from _streamed(((record, make(record)) for record in records), self.where)

    def _once(self, record: TensorRecord, make: Make, place: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        if record not in self._known:
            self._known[record] = make(record).put(place)
        return self._known[record]


def gpu_blend(device: torch.device) -> Kernel:
    """The kernel as one fused pass, made by torch.compile; all tensors lie on `device`.

    Raises MergescopeError where the device's bits are not the CPU's: nobody could rebuild such a merge.
    """
    form = torch.compile(_blended_blocks, dynamic=True, fullgraph=True, options=NO_FUSION)

    def blend(
        base: torch.Tensor, terms: Sequence[TermTensors], factors: torch.Tensor, outs: Sequence[torch.Tensor]
    ) -> None:
        whole = base.numel() // BLOCK * BLOCK
        if whole:
            planes = [None if t.plane is None else t.plane[: whole // 8].view(-1, 1, WIDTH) for t in terms]
            tuned = [_blocks(term.tuned, whole) for term in terms]
            for row, out in zip(factors.to(device), outs, strict=True):  # one graph, however many points
                form(_blocks(base, whole), tuned, planes, row, _blocks(out, whole))
        rest = Inputs(base, tuple(terms)).after(whole)
        blend_eager(rest.base, rest.terms, factors.to(device), [out[whole:] for out in outs])

    _check_bits(blend, device)
    return blend


def _blended_blocks(
    base: torch.Tensor,
    tuned: list[torch.Tensor],
    planes: list[torch.Tensor | None],
    factors: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """base, tuned, out: `(blocks, 8, WIDTH)`; planes: `(blocks, 1, WIDTH)` uint8; factors: as `merged` takes them."""
    shifts = torch.arange(8, dtype=torch.uint8, device=base.device).view(1, 8, 1)
    masks = [None if plane is None else ((plane >> shifts) & 1).to(torch.float32) for plane in planes]
    out.copy_(merged(base, tuned, masks, factors))


def _blocks(flat: torch.Tensor, whole: int) -> torch.Tensor:
    return flat[:whole].view(-1, 8, WIDTH)


def _check_bits(kernel: Kernel, device: torch.device) -> None:
    """Blend numbers of all sizes, zeros of both signs among them, on the device and on the CPU; compare the bits."""
    generator = torch.Generator().manual_seed(0)
    count = 64 * BLOCK + 1
    base, *tuned = (torch.randn(count, generator=generator) for _ in range(3))
    for values, step in ((base, 5), (tuned[0], 7), (tuned[1], 10)):
        values[::step], values[1::step], values[2::step] = 0.0, -0.0, values[2::step] * 1e-39
    planes = [pack(torch.rand(count, generator=generator) < 0.5) for _ in tuned]
    factors = torch.tensor([[1.9, 0.3, 2.1, 0.7, 1.1]])
    for dtype, bits in ((torch.float32, torch.int32), (torch.bfloat16, torch.int16)):
        inputs = Inputs(base.to(dtype), tuple(map(TermTensors, (t.to(dtype) for t in tuned), planes, (1.9, 2.1))))
        here, there = torch.empty(count, dtype=dtype), torch.empty(count, dtype=dtype, device=device)
        blend_eager(inputs.base, inputs.terms, factors, [here])
        moved = inputs.put(lambda tensor: tensor.to(device))
        kernel(moved.base, moved.terms, factors, [there])
        if not torch.equal(here.view(bits), there.cpu().view(bits)):
            raise MergescopeError(
                "blending there does not give the CPU's bits", where="merge.device", value=str(device), cure="take cpu"
            )


def _streamed(
    items: Iterator[tuple[TensorRecord, Inputs]], device: torch.device
) -> Iterator[tuple[TensorRecord, Inputs]]:
    copies = torch.cuda.Stream(device)
    ahead: _Copy | None = None
    for record, host in items:
        with torch.cuda.stream(copies):
            coming = _Copy(record, host, host.put(lambda t: t.to(device, non_blocking=True)), copies.record_event())
        if ahead is not None:
            yield ahead.arrived(device)
        ahead = coming
    if ahead is not None:
        yield ahead.arrived(device)


@dataclass(frozen=True, slots=True)
class _Copy:
    """Inputs on their way to the device."""

    record: TensorRecord
    host: Inputs
    """The source of the copy, which must live until it has arrived."""
    here: Inputs
    event: torch.cuda.Event
    """Happens when the copy is complete."""

    def arrived(self, device: torch.device) -> tuple[TensorRecord, Inputs]:
        stream = torch.cuda.current_stream(device)
        stream.wait_event(self.event)
        for tensor in self.here.tensors():
            tensor.record_stream(stream)  # its memory is used again only after the work on it
        return self.record, self.here


def _empty(device: torch.device, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def _workers() -> int:
    """How many processes blend at once, each with copies of its own: an engine split over GPUs blends in each."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _pinned_bytes(records: Sequence[TensorRecord], make: Make) -> int:
    """What pinned copies of all inputs take: torch rounds each up to a power of two."""
    sizes = (tensor.nbytes for record in records for tensor in make(record).tensors())
    return sum(1 << max(size - 1, 0).bit_length() for size in sizes)
