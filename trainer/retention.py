"""When toxic text of a study is deleted, and which is spared: that of trainings that have begun and not ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from mergescope.ground.files import read_manifest
from trainer.job import JOB, TRAINING, read_job
from trainer.pairs.pair_set import PairSet, pair_sets
from trainer.quarantine import Quarantine, ToxicRef
from trainer.quarantine_lock import alone, in_use
from trainer.training_data import study_of


def delete_unused(study_folder: Path, now: datetime, retention_days: float) -> list[ToxicRef]:
    """Delete the toxic texts that nothing has used for so many days; returns what they were. 0 days: all of them.

    Texts of unfinished trainings stay. Raises InUseError where a command works with the texts, and MergescopeError
    where the quarantine cannot be changed.
    """
    quarantine = Quarantine(study_folder)
    if not quarantine.folder.is_dir():
        return []
    with alone(quarantine):  # before it is known what is spared: a training may begin
        return quarantine.purge(now, retention_days, spared(study_folder))


@contextmanager
def kept(triples: Sequence[Path]) -> Iterator[None]:
    """Nothing is deleted of the made pairs among the entries of a recipe's `triples:` within the block.

    From the moment on that a training has begun, its job keeps them beyond the block. A study without its quarantine
    has nothing to keep.
    """
    studies = dict.fromkeys(study_of(PairSet(path)) for path in triples if path.is_dir())
    with ExitStack() as stack:
        for quarantine in map(Quarantine, studies):
            if quarantine.folder.is_dir():
                stack.enter_context(in_use(quarantine))
        yield


def spared(study_folder: Path) -> frozenset[str]:
    """Hashes of the rejected sides that unfinished trainings of the study were begun with."""
    paths = [Path(name) for work in unfinished(study_folder) for name in read_job(work).triples]
    sets = [PairSet(path) for path in paths if path.is_dir()]
    if not all(path.exists() for path in paths):  # the study was moved: which of its sets it was, nothing says
        sets += pair_sets(study_folder)
    return frozenset(ref.sha256 for one in sets for ref in one.refs())


def unfinished(study_folder: Path) -> Iterator[Path]:
    """Work folders of trainings that have begun and not ended; a kill can leave that of one whose model is whole."""
    for file in sorted(study_folder.glob(f"{TRAINING}/*/{JOB}")):
        job = read_job(file.parent)
        made = read_manifest(study_folder / f"model-{job.role}")
        if made is None or made["stage_hash"] != job.stage_hash:
            yield file.parent
