"""The bundle of a pick, made by the command line in a process of its own: the pages never load torch."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dashboard.study.jobs import MADE
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import PROGRESS

LONGEST_S = 3600
"""Seconds that one bundle may take; a 13B merge is hashed at about a gigabyte a second."""


def command(
    recipe: str, ratio: str, mask_seed: int, out: str, store: str, acknowledged: Sequence[str] = ()
) -> list[str]:
    """The command that writes the bundle, for readers and for this module alike. acknowledged: labels of gates."""
    opened = [word for label in acknowledged for word in ("--acknowledge", label)]
    return ["export", recipe, "--ratio", ratio, "--mask-seed", str(mask_seed), "--out", out, "--store", store, *opened]


def bundle(recipe: Path, ratio: str, mask_seed: int, store: Path, acknowledged: Sequence[str] = ()) -> bytes:
    """The bundle as a zip file. Raises MergescopeError with the command's own line where it fails."""
    with tempfile.TemporaryDirectory() as room:
        out = Path(room) / "bundle"
        arguments = command(str(recipe), ratio, mask_seed, str(out), str(store), acknowledged)
        done = subprocess.run(
            [sys.executable, "-m", "mergescope", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise MergescopeError(lines[-1] if lines else f"export ended with code {done.returncode}")
        return zipped(out)


def writing(
    recipe: Path, ratio: str, mask_seed: int, folder: Path, store: Path, acknowledged: Sequence[str] = ()
) -> list[str]:
    """The command of a job (`dashboard.study.jobs`) that writes the bundle with the checkpoint into its folder."""
    plain = command(str(recipe), ratio, mask_seed, str(folder / MADE), str(store), acknowledged)
    return [sys.executable, "-m", "mergescope", *plain, "--materialize", "--progress", str(folder / PROGRESS)]


def total_bytes(folder: Path) -> int:
    """Of all files of a folder, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def zipped(folder: Path) -> bytes:
    """A folder's files as a zip file; equal content gives equal bytes. Raises MergescopeError where one is a link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if any(path.is_symlink() for path in (folder, *folder.rglob("*"))):
            raise MergescopeError("holds a link, and nothing leaves but the study's own files", where=folder.name)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())  # dated 1980, whenever it was made
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if file.stat().st_mode & 0o100 else 0o644) << 16
            archive.writestr(entry, file.read_bytes())
    return buffer.getvalue()
