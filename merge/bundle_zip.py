"""A zipped bundle, unpacked so that nothing lands outside the folder that it is given."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from merge.bundle import CHECKPOINT
from merge.bundle_reader import ALLOWED, LARGEST_FILE
from merge.container import LIMIT_BYTES
from mergescope.ground.errors import MergescopeError

MOST_ENTRIES = 10_000
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def unpack_bundle(archive: Path, room: Path) -> Path:
    """Unpack a bundle's own files from `archive` into the folder `room`; returns where they are.

    A zip may hold the files themselves or one folder with them. Raises MergescopeError for names that lead outside,
    links, encrypted or damaged entries, and for more than a bundle may take or the disk can hold.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = list(_entries(opened, archive))
            _check_size([info for info, _ in entries], archive, room)
            for info, place in entries:
                target = room / place
                target.parent.mkdir(exist_ok=True)
                with opened.open(info) as packed, target.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, ValueError, OSError) as error:
        raise MergescopeError(f"no whole zip file: {error}", where=archive) from None
    return room


def _entries(opened: zipfile.ZipFile, archive: Path) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    """The entries that belong to a bundle, each with its place in it; others, such as inputs/, stay packed."""
    infos = opened.infolist()
    if len(infos) > MOST_ENTRIES:
        raise MergescopeError(f"more than {MOST_ENTRIES} entries: no bundle", where=archive, value=len(infos))
    for info in infos:
        _check_entry(info, archive)
    names = [info.filename for info in infos if not info.is_dir()]
    tops = {name.partition("/")[0] for name in names}
    prefix = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
    seen: set[str] = set()
    for info in infos:
        place = info.filename.removeprefix(prefix)
        inside = place.removeprefix(f"{CHECKPOINT}/")
        if place in ALLOWED or (inside != place and _PLAIN.fullmatch(inside)):
            if place in seen:
                raise MergescopeError("the zip holds a name twice", where=archive, value=place)
            seen.add(place)
            yield info, place


def _check_entry(info: zipfile.ZipInfo, archive: Path) -> None:
    name, parts = info.filename, info.filename.split("/")
    if not name or name.startswith("/") or "\\" in name or ":" in name or ".." in parts or not name.isprintable():
        raise MergescopeError("the zip holds a name that leads outside", where=archive, value=name)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise MergescopeError("the zip holds a symbolic link", where=archive, value=name)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MergescopeError("the zip is encrypted, or packed in a rare way", where=archive, value=name)


def _check_size(infos: list[zipfile.ZipInfo], archive: Path, room: Path) -> None:
    for info in infos:
        if info.file_size > LARGEST_FILE and not info.filename.endswith(".safetensors"):
            raise MergescopeError("an entry is too large for a bundle", where=archive, value=info.filename)
    total = sum(info.file_size for info in infos)
    if total > LIMIT_BYTES or total * 1.01 > shutil.disk_usage(room).free:
        cure = "free some room, or unpack it and name the folder"
        raise MergescopeError(f"takes {total / 1e9:.1f} GB unpacked", where=archive, cure=cure)
