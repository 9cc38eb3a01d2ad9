"""The compiled inner loops of merge/native.c: built once per machine with its own C compiler, called through ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from merge.identity import default_cache
from merge.planes import BLOCK, plane_bytes
from mergescope.ground.ids import file_hash, full_hash

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC", "-fno-trapping-math", "-ffp-contract=off")
"""Contraction off: a fused multiply-add rounds once where mergekit rounds twice."""
TUNED = ("-march=native", "-mprefer-vector-width=512")
"""Flags that not every compiler knows; the bits do not depend on them."""
KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""Dtypes by the numbers that native.c gives them."""
SHARE = 64 * BLOCK
"""Fewest parameters worth a thread of their own."""


class Native:
    """The loops of native.c over flat, contiguous CPU tensors, on several threads where it pays."""

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self._library = library
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def takes(self, *tensors: torch.Tensor) -> bool:
        """Whether the loops know the dtypes of all these."""
        return all(tensor.dtype in KINDS for tensor in tensors)

    def blend(
        self,
        base: torch.Tensor,
        tuned: Sequence[torch.Tensor],
        planes: Sequence[torch.Tensor | None],
        factors: torch.Tensor,
        outs: Sequence[torch.Tensor],
    ) -> None:
        """Fill each of `outs` with the merged values at one point; sources are read once for all points.

        base, tuned, outs: flat `(n,)`, of any of KINDS. planes: see `merge.planes`, None keeps everything.
        factors: float32 `(points, 2 * terms + 1)`: k and w of each term, then lambda.
        """
        rows = torch.zeros(len(outs), 5)  # the loops know two terms
        rows[:, : 2 * len(tuned)], rows[:, 4] = factors[:, :-1], factors[:, -1]
        kinds = [KINDS[tensor.dtype] for tensor in (base, *tuned, outs[0])]
        numbers = (ctypes.c_int * len(kinds))(*kinds)
        fixed = (len(tuned), len(outs), _address(base), _addresses(tuned), _addresses(planes), numbers)
        targets = _addresses(outs)
        self._split(base.numel(), lambda a, b: self._library.blend(a, b, *fixed, _address(rows), targets))

    def magnitudes(self, base: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor:
        """|tuned - base| in the shape of `base`; all float32 and contiguous."""
        out = torch.empty_like(base)
        addresses = (_address(base), _address(tuned), _address(out))
        self._split(base.numel(), lambda a, b: self._library.magnitudes(a, b, *addresses))
        return out

    def keep(self, plane: torch.Tensor, values: torch.Tensor) -> None:
        """Zero in place what the plane drops; values: float32 and contiguous."""
        addresses = (_address(plane), _address(values))
        self._split(values.numel(), lambda a, b: self._library.keep(a, b, *addresses))

    def draw(self, state: NDArray[np.uint32], used: int, count: int, threshold: int) -> tuple[torch.Tensor, int]:
        """A plane of `count` draws of MT19937, each kept where its low 24 bits are below `threshold`.

        state: the generator's 624 numbers, moved on in place. used: how many of them are used up, 0-624. Returns
        the plane and the new `used`.
        """
        plane = torch.zeros(plane_bytes(count), dtype=torch.uint8)
        place = ctypes.c_int32(used)
        self._library.draw(_pointer(state.ctypes.data), ctypes.byref(place), _long(count), threshold, _address(plane))
        return plane, place.value

    def _split(self, count: int, run: Callable[[ctypes.c_int64, ctypes.c_int64], object]) -> None:
        """Run over parameters 0 to `count`, in one piece per thread; pieces start at whole blocks."""
        pieces = max(1, min(self._threads, count // SHARE))
        bounds = [count * i // pieces // BLOCK * BLOCK for i in range(pieces)] + [count]
        spans = [(_long(a), _long(b)) for a, b in itertools.pairwise(bounds)]
        others = [self._pool.submit(run, *span) for span in spans[1:]]
        run(*spans[0])
        for other in others:
            other.result()


@functools.cache
def native() -> Native | None:
    """The compiled loops; None where no C compiler builds them."""
    library = _library()
    return None if library is None else Native(library, torch.get_num_threads())


def compiler() -> list[str] | None:
    """The words of the C compiler's command: $CC, else cc; None where there is no such program."""
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    return None if shutil.which(words[0]) is None else words


def _library() -> ctypes.CDLL | None:
    """The library for this source, compiler and CPU, from the user's cache folder or built into it now.

    Where that folder takes or gives none (read-only, full, mounted noexec), it is built anew in a temporary one.
    """
    command = compiler()
    if command is None:
        return None
    name = f"native-{_key(command)}.so"
    kept = default_cache().parent / name
    with contextlib.suppress(OSError):  # none there, or a damaged one
        return ctypes.CDLL(str(kept))
    with contextlib.suppress(OSError):
        return _built(command, kept)
    with tempfile.TemporaryDirectory(prefix="mergescope-") as room, contextlib.suppress(OSError):
        return _built(command, Path(room) / name)
    return None


def _built(command: list[str], file: Path) -> ctypes.CDLL:
    """Build `file`, whole or not at all, and open it. Raises OSError where folder or compiler do not allow that."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".part")
    try:
        if not any(_compiles([*command, *FLAGS, *extra, str(SOURCE), "-o", part]) for extra in (TUNED, ())):
            raise OSError(f"{command[0]} does not build {SOURCE.name}")
        os.fsync(handle)
        Path(part).replace(file)
    finally:
        os.close(handle)
        Path(part).unlink(missing_ok=True)
    return ctypes.CDLL(str(file))


def _compiles(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _key(command: list[str]) -> str:
    stat = Path(shutil.which(command[0]) or command[0]).stat()
    about = [file_hash(SOURCE), FLAGS, TUNED, command, stat.st_size, stat.st_mtime_ns, _processor()]
    return full_hash(about)[:16]


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by machines with other processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _long(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def _pointer(address: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(address)


def _address(tensor: torch.Tensor) -> ctypes.c_void_p:
    return _pointer(tensor.data_ptr())


def _addresses(tensors: Sequence[torch.Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(None if t is None else t.data_ptr() for t in tensors))
