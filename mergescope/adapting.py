"""Merging an adapter into its base outside a study, as a bundle's script does."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from merge.adapters import adapt
from merge.sources import local_folder
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter
from mergescope.study import names_folder


def adapt_into(base: str, adapter: str, out: Path, wanted: str | None) -> int:
    """Write the merged checkpoint to the new folder `out`, print its hash, and return the exit code.

    wanted: hash that its weights must have (`merge.identity.weights_hash`); with others the code is 1. Raises the
    MergescopeError family, before any work for what can be no hash. Nothing is left at `out` in either case: a script
    that is run again shall not believe it.
    """
    if out.exists():
        raise MergescopeError("exists already", where=out, cure="name a new folder")
    if wanted is not None and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise MergescopeError("no sha256: it has 64 digits, 0-9 and a-f", where="--sha256", value=wanted)
    manifest = adapt(_folder(base), _folder(adapter), out, Reporter(sys.stderr))
    if wanted in (None, manifest["weights_sha256"]):
        print(f"{out}: weights sha256 {manifest['weights_sha256']}, {manifest['dtype']}")
        return 0
    shutil.rmtree(out)
    made = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    print(
        f"{out}: weights sha256 {manifest['weights_sha256']} came out, {wanted} was wanted, so the folder was removed; "
        f"another base or adapter, or other versions than here ({made})"
    )
    return 1


def _folder(name: str) -> Path:
    return local_folder(Path(name) if Path(name).is_dir() or names_folder(name) else name)
