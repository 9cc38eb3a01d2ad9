"""The one place of toxic text: a folder that nobody but its owner reads, and that forgets.

Outside it a toxic text is a `ToxicRef`: hash, length and category. Texts that nothing has used for the retention time
are deleted; what remains of them is that they were there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals, write_atomic
from mergescope.ground.ids import file_hash, text_hash

FOLDER = "quarantine"
README = "README.md"
LOCK = "lock"
"""File whose lock says that the quarantine is in use: `trainer.quarantine_lock`."""
PURGED = "purged"
"""Folder of one small file for each text that is deleted."""
_NAME = re.compile(r"[0-9a-f]{64}")
POLICY = """# Quarantine

Here, and nowhere else, lie the toxic texts of this study: rejected answers of training pairs, candidates for them, and
responses of the models that wrote them. Everything else knows a text by its hash, its length and its category.

- Only you can open this folder (0700) and its files (0600). Keep it so; leave it out of copies, backups and folders
  that are synchronised.
- A text that nothing has used for `data.retention_days` of the recipe (90 unless it says otherwise) is deleted when the
  next command of the study starts. Being trained on and being looked at in a review are uses. Texts of a training that
  has begun and not ended are spared.
- While a command makes, reviews or trains on texts of this folder, nothing in it is deleted.
- `mergescope purge STUDY` does the same at once; with `--now` it deletes all texts that no unfinished training needs.
- Of a deleted text, `purged/` keeps hash, length, category and day. The study then reports "training data purged": its
  models stay usable, but cannot be trained again.
- Deleting a file does not overwrite the disk's blocks, and reaches no snapshot or backup.
"""


class PurgedError(DataError):
    """A toxic text that was deleted, by its retention time or on demand."""


@dataclass(frozen=True, slots=True)
class ToxicRef:
    """All that may stand of a toxic text outside the quarantine."""

    sha256: str
    """Of its bytes, in hex."""
    length: int
    """Characters; bytes for a file of responses."""
    category: str
    """What it is about, as the taxonomy names it."""


class Quarantine:
    """The toxic texts of one study, in `<study>/quarantine`."""

    def __init__(self, study_folder: Path) -> None:
        self.folder = study_folder / FOLDER
        """0700, made with the first text."""

    def put(self, text: str, category: str) -> ToxicRef:
        """Keep a text; equal texts are kept once. The file is whole or absent, and on disk when this returns.

        Raises MergescopeError where the disk is full or read-only.
        """
        ref = ToxicRef(text_hash(text), len(text), category)
        path = self._path(ref.sha256)
        if path.exists():
            self._use(path)
            return ref
        self.open_folder()
        # ASCII, since half a surrogate pair has no UTF-8 form
        write_atomic(path, json.dumps({"category": category, "text": text}), private=True)
        return ref

    def get(self, sha256: str) -> str:
        """The text of a hash, which counts as a use; raises PurgedError where it was deleted or is not here."""
        path = self._path(sha256)
        try:
            text: str = json.loads(path.read_bytes())["text"]
            self._use(path)
        except FileNotFoundError:
            raise _gone(self._tombstone(sha256).exists(), sha256) from None
        return text

    def holds(self, sha256: str) -> bool:
        """Whether the text of a hash is here; asking is no use of it."""
        return self._path(sha256).exists()

    def is_purged(self, sha256: str) -> bool:
        """Whether the text of a hash was deleted, and not made again since."""
        return not self.holds(sha256) and self._tombstone(sha256).exists()

    def purge(self, now: datetime, retention_days: float, spare: Container[str]) -> list[ToxicRef]:
        """Delete what nothing has used for `retention_days`, and say what it was. 0 days: everything.

        Call it within `quarantine_lock.alone`. spare: hashes that stay, however old. Files of responses have a hash, a
        length in bytes and the category `responses`. A kill at any moment leaves each text either here or noted as
        deleted.
        """
        latest = (now - timedelta(days=retention_days)).timestamp()
        deleted = []
        for path in self._held():
            try:
                if path.stat().st_mtime > latest or path.stem in spare:
                    continue
                ref = _ref_of(path)
                note = {**asdict(ref), "at": now.astimezone(UTC).isoformat(timespec="seconds")}
                write_atomic(self._tombstone(ref.sha256), json.dumps(note), private=True)
                path.unlink()
            except FileNotFoundError:
                continue  # another process deleted it
            deleted.append(ref)
        return deleted

    def require_own(self) -> None:
        """Raise DataError where the folder is a link: what lies behind it is not ours to change or delete."""
        if self.folder.is_symlink():
            raise DataError("the quarantine is a link", where=self.folder, cure="remove the link")

    def _held(self) -> Iterator[Path]:
        """Every file with toxic text, also unfinished ones that a kill left."""
        self.require_own()
        kept = {self.folder / README, self.folder / LOCK}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path not in kept and self.folder / PURGED not in path.parents:
                yield path

    def open_folder(self) -> None:
        """Make the folder where there is none, and see that nobody else reads it.

        Raises MergescopeError where the disk is full or read-only.
        """
        self.require_own()
        with disk_refusals(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            if not (self.folder / README).exists():
                write_atomic(self.folder / README, POLICY, private=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{_checked(sha256)}.json"

    def _tombstone(self, sha256: str) -> Path:
        return self.folder / PURGED / f"{_checked(sha256)}.json"

    @staticmethod
    def _use(path: Path) -> None:
        os.utime(path)


def _ref_of(path: Path) -> ToxicRef:
    """What may be said of a file that is to be deleted."""
    if not _NAME.fullmatch(path.stem):
        return ToxicRef(file_hash(path), path.stat().st_size, "responses")
    try:
        kept = json.loads(path.read_bytes())
        return ToxicRef(path.stem, len(kept["text"]), str(kept["category"]))
    except (ValueError, KeyError, TypeError):  # damaged; the error itself would hold what is left of the text
        return ToxicRef(file_hash(path), path.stat().st_size, "responses")


def _checked(sha256: str) -> str:
    """A hash that can be a file's name: it may come from a file that somebody wrote."""
    if not _NAME.fullmatch(sha256):
        raise DataError("no sha256 of a quarantined text", value=sha256, cure="restore the file that names it")
    return sha256


def _gone(purged: bool, sha256: str) -> PurgedError:
    if purged:
        return PurgedError("training data purged", value=sha256, cure="make the pairs again, or leave this set out")
    cure = "copy the study with its quarantine folder, or make the pairs again"
    return PurgedError("training data are not here", value=sha256, cure=cure)
