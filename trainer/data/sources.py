"""Where a published set is read from: a file, a folder as Hugging Face's `datasets` reads it, or the Hub.

Folders and the Hub are streamed: no copy of the rows is kept by `datasets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from eval.formats.reading import read_records
from eval.formats.record import Record
from mergescope.ground.errors import DataError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """A set before it is read."""

    given: str
    """As the user names it."""
    place: Path | None
    """File or folder; None: on the Hub."""
    revision: str | None = None
    """Commit on the Hub."""
    licence: str | None = None
    """As its card on the Hub says; None where that says nothing, and for files and folders."""
    size: int | None = None
    """Bytes of all files on the Hub; None for files and folders."""
    gated: bool = False
    """Whether its owners ask for something before it can be fetched."""

    @property
    def name(self) -> str:
        """A short name: of the file, the folder or the repository."""
        return self.place.stem if self.place is not None else self.given.partition("@")[0].rpartition("/")[2]

    @property
    def title(self) -> str:
        """What a triple says of where it comes from: no path of this machine."""
        return self.place.name if self.place is not None else f"{self.given.partition('@')[0]}@{self.revision}"


def find_source(given: str) -> Source:
    """The source that a path or a Hub id (`owner/name`, `owner/name@revision`) names; of the Hub, only facts are asked.

    Raises DataError where there is neither.
    """
    path = Path(given)
    if path.exists():
        return Source(given, path)
    if not _HUB_ID.fullmatch(given):
        raise DataError("neither a file, a folder nor a Hub id", value=given, cure="check the path, or give owner/name")
    return _on_hub(given)


def read_source(source: Source, config: str | None, split: str | None) -> Iterator[Record]:
    """The records of a source. config, split: as the set calls them; None: its only one, or `train`.

    Raises DataError where there is no such config or split, where several are there and none is named, and where rows
    cannot be read.
    """
    if source.place is not None and source.place.is_file():
        for option, value in (("--config", config), ("--split", split)):
            if value is not None:
                raise DataError("a file has none", where=option, value=value, cure="leave it out, or give the folder")
        yield from read_records(source.place)
        return
    rows = _rows(source, config, split)
    try:
        for number, row in enumerate(rows, 1):
            yield Record(Path(source.title), f"row {number}", row)
    except (ValueError, OSError, RuntimeError) as error:
        _unreadable(source, error)


def _rows(source: Source, config: str | None, split: str | None) -> Any:
    import datasets

    place = str(source.place) if source.place is not None else source.given.partition("@")[0]
    try:
        found = datasets.load_dataset(place, config, revision=source.revision, streaming=True)
    except (ValueError, OSError, RuntimeError) as error:
        _unreadable(source, error)
    names = list(found)
    chosen = split or ("train" if "train" in names else names[0] if len(names) == 1 else None)
    if chosen not in names:
        what = "several splits" if split is None else "no such split"
        raise DataError(what, where=source.title, value=split, cure=f"choose with --split: {', '.join(names)}")
    return found[chosen]


def _on_hub(given: str) -> Source:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    name, _, revision = given.partition("@")
    try:
        info = HfApi().dataset_info(name, revision=revision or None, files_metadata=True)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        _not_on_hub(given, error)
    card: Any = info.card_data or {}
    licence = card.get("license_name") or card.get("license")
    size = sum(file.size or 0 for file in info.siblings or ())
    return Source(given, None, info.sha, licence if isinstance(licence, str) else None, size, bool(info.gated))


def _not_on_hub(given: str, error: Exception) -> NoReturn:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    cure = "check the name, or download the set and give its folder"
    match error:
        case GatedRepoError():
            what, cure = "its owners ask you to accept their terms on the Hub first", "accept them, and set HF_TOKEN"
        case RepositoryNotFoundError():
            what = "neither a file nor a folder, and the Hub has no such set, or none that you may read"
        case RevisionNotFoundError():
            what, cure = "it has no such revision", "check what stands behind the @"
        case _:
            what = f"neither a file nor a folder, and the Hub does not answer: {_first_line(error)}"
    raise DataError(what, value=given, cure=cure) from None


def _unreadable(source: Source, error: Exception) -> NoReturn:
    cure = "correct --config, or give a file of it"
    raise DataError(f"cannot be read: {_first_line(error)}", where=source.title, cure=cure) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
