"""What an entry of a recipe's `triples:` names: a file of triples, or a folder of made pairs (`<study>/data/<set>`).

unreviewed, everywhere: whether pending pairs are taken too (`train.unreviewed`); it says nothing to files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine
from trainer.triples import Triple, load_triples


def load_data(path: Path, *, unreviewed: bool) -> list[Triple]:
    """All triples of an entry, rejected sides included.

    Raises DataError for a malformed file and for a set of which nothing is approved, and PurgedError where rejected
    sides were deleted.
    """
    if not path.is_dir():
        return load_triples(path)
    pairs = PairSet(path)
    return pairs.triples(Quarantine(study_of(pairs)), unreviewed)


def load_unchanged(paths: Sequence[Path], hashes: Sequence[str], *, unreviewed: bool) -> list[Triple]:
    """All triples of several entries; raises DataError where they are not those of the hashes any more."""
    rows = [triple for path in paths for triple in load_data(path, unreviewed=unreviewed)]
    for path, known in zip(paths, hashes, strict=True):
        if data_hash(path, unreviewed=unreviewed) != known:
            raise DataError("changed, or reviewed, while the training began", where=path, cure="run it again")
    return rows


def load_prompts(path: Path, *, unreviewed: bool) -> list[Triple]:
    """The same for what looks at prompts, names and origins alone: made pairs come without their rejected sides.

    Works when those were deleted; raises DataError as `load_data` does.
    """
    return PairSet(path).prompts(unreviewed) if path.is_dir() else load_triples(path)


def data_hash(path: Path, *, unreviewed: bool) -> str:
    """sha256 of what is trained on; stays as it is when rejected sides are deleted. Raises DataError as `load_data`."""
    return PairSet(path).content_hash(unreviewed) if path.is_dir() else file_hash(path)


def purged(paths: Iterable[Path], *, unreviewed: bool) -> tuple[int, int]:
    """How many rejected sides of the made pairs that are trained on were deleted, and how many there are."""
    gone = total = 0
    for path in paths:
        if not path.is_dir():
            continue
        pairs = PairSet(path)
        quarantine = Quarantine(study_of(pairs))
        taken = pairs.taken(unreviewed=unreviewed)
        gone += sum(quarantine.is_purged(one.pair.rejected.sha256) for one in taken)
        total += len(taken)
    return gone, total


def study_of(pairs: PairSet) -> Path:
    """The folder of the study that a set belongs to, where its quarantine lies."""
    return pairs.folder.absolute().parents[1]
