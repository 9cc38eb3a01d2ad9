"""Files that are whole or absent: atomic writes, and manifests written last."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mergescope.ground.errors import MergescopeError

MANIFEST = "manifest.json"
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "free some room, or put the recipe on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free some room, or put the recipe on another disk"),
    errno.EROFS: ("the disk is read-only", "make it writable, or put the recipe on another disk"),
    errno.EACCES: ("no permission", "give yourself the permission, or choose another folder"),
    errno.ELOOP: ("symbolic links go in a circle", "remove the link"),
}
"""What a disk refuses, in words, and the cure."""
HEADROOM = 1 << 20
"""Bytes beside the counted ones: indices, manifests, blocks half used."""


@contextmanager
def disk_refusals(place: Path, needed: int = 0) -> Iterator[None]:
    """Turn what a disk refuses within the block (full, read-only, no permission) into a MergescopeError.

    place: what the block writes; the error names it unless the system names another file. needed: bytes that it
    takes, for the message; 0: unknown.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        what, cure = _REFUSALS[error.errno]
        size = f", and this takes about {_size(needed)}" if needed and error.errno == errno.ENOSPC else ""
        named = error.filename if error.filename and ".part" not in str(error.filename) else place
        raise MergescopeError(what + size, where=named, cure=cure) from None


def require_room(place: Path, needed: int) -> None:
    """Raise MergescopeError where the disk that `place` will lie on has less than `needed` bytes free."""
    there = next(folder for folder in place.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    wanted = round(needed * 1.01) + HEADROOM
    if wanted > free:
        raise MergescopeError(
            f"this takes about {_size(wanted)} and {_size(free)} are free",
            where=place,
            cure="free some room or write elsewhere",
        )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def write_atomic(path: Path, data: str | bytes, *, private: bool = False) -> None:
    """Write `data` beside `path`, flush it to disk, and rename it into place.

    private: nobody but the owner may read it (0600). Raises MergescopeError where the disk is full or read-only.
    """
    with disk_refusals(path):
        _write_atomic(path, data.encode("utf-8") if isinstance(data, str) else data, private)


def _write_atomic(path: Path, raw: bytes, private: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        if not private:  # as it is made, only its owner reads it
            Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """`value` as indented JSON, atomically; NaN is refused (ValueError)."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`; raises MergescopeError naming file and line where it is malformed or missing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MergescopeError("no such file", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise MergescopeError(f"malformed JSON: {error}", where=f"{path}:{line}") from None


@contextmanager
def fresh_folder(path: Path, needed: int = 0) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well, and vanishes otherwise.

    Whatever stood at `path` is replaced. A kill leaves only a `.part` folder, which a later call removes; each
    process has its own, so that a child which outlives a killed parent cannot write into its successor's, and of two
    that write to one place the last to finish wins. needed: bytes that it will take; 0: unknown. Raises
    MergescopeError where the disk has too little room, fills up meanwhile or is read-only, or where the new folder
    was taken away; what stood at `path` then stays.
    """
    with disk_refusals(path, needed):
        if needed:
            require_room(path, needed)
        with _fresh_folder(path) as part:
            yield part


@contextmanager
def _fresh_folder(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.old")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if not _belongs_to_another(left):
            shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if not part.exists():
        raise MergescopeError("its unfinished folder was taken away", where=path, cure="run it again")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    _sync_folder(path.parent)


def _belongs_to_another(part: Path) -> bool:
    """Whether a process other than this one may be writing the `.part` folder: the one that its name tells is alive."""
    number = part.suffixes[-2].removeprefix(".") if len(part.suffixes) > 1 else ""
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_manifest(folder: Path, *, stage_hash: str, content: dict[str, Any]) -> None:
    """Mark `folder` as complete: call it last, when every other file in it is on disk.

    `stage_hash` is the hash of everything that changes the stage's output; `content` is what readers want to
    know of it (seeds, versions, hashes of outputs).
    """
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    write_json(folder / MANIFEST, {"stage_hash": stage_hash, **content})


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of `folder`, or None where the stage that writes it has not finished."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest: dict[str, Any] = read_json(path)
    return manifest


def is_done(folder: Path, stage_hash: str) -> bool:
    """Whether the stage that writes `folder` finished with these very inputs."""
    manifest = read_manifest(folder)
    return manifest is not None and manifest["stage_hash"] == stage_hash


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
