"""When toxic text of a study is deleted, and which is spared: that of trainings that have begun and not ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from mergescope.ground.files import is_done, read_json, write_json
from mergescope.ground.ids import content_id
from trainer.job import JOB, TRAINING, is_unfinished, read_job
from trainer.pairs.pair_set import PairSet, pair_sets
from trainer.quarantine import Quarantine, ToxicRef
from trainer.quarantine_lock import alone, in_use
from trainer.training_data import study_of

TRAININGS = "trainings"
"""Folder in that of a set with a small file for each training of another study that reads it."""


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
def kept(triples: Sequence[Path], work: Path) -> Iterator[None]:
    """Nothing is deleted of the made pairs among the entries of a recipe's `triples:` within the block.

    work: folder of the training that reads them; from the moment on that it has begun, they are spared beyond the
    block. A study without its quarantine has nothing to keep, and where nothing can be written nothing can be deleted.
    """
    own = work.resolve().parents[1]
    sets = [PairSet(path.resolve()) for path in triples if path.is_dir()]
    sets = [pairs for pairs in sets if os.access(Quarantine(study_of(pairs)).folder, os.W_OK)]
    with ExitStack() as stack:
        for study in dict.fromkeys(map(study_of, sets)):
            stack.enter_context(in_use(Quarantine(study)))
        for pairs in sets:
            if study_of(pairs) != own:  # those of its own study are found from there
                _mark(pairs, work.resolve())
        yield


def spared(study_folder: Path) -> frozenset[str]:
    """Hashes of the rejected sides that unfinished trainings were begun with: the study's, and others' on its sets."""
    paths = [Path(name) for work in unfinished(study_folder) for name in read_job(work).triples]
    sets = [PairSet(path) for path in paths if path.is_dir()]
    if not all(path.exists() for path in paths):  # the study was moved: which of its sets it was, nothing says
        sets += pair_sets(study_folder)
    sets += [pairs for pairs in pair_sets(study_folder) if any(map(_is_under_way, _marked(pairs)))]
    return frozenset(ref.sha256 for one in sets for ref in one.refs())


def unfinished(study_folder: Path) -> Iterator[Path]:
    """Work folders of trainings that have begun and not ended; a kill can leave that of one whose model is whole."""
    for file in sorted(study_folder.glob(f"{TRAINING}/*/{JOB}")):
        if _is_under_way(file.parent):
            yield file.parent


def _is_under_way(work: Path) -> bool:
    """Whether a training in a work folder, which may be gone, has begun and its model is not whole."""
    if not is_unfinished(work):
        return False
    job = read_job(work)
    return not is_done(work.parents[1] / f"model-{job.role}", job.stage_hash)


def _mark(pairs: PairSet, work: Path) -> None:
    """Leave word beside a set that a training of another study reads it."""
    write_json(pairs.folder / TRAININGS / f"{content_id('t1', str(work))}.json", {"work": str(work)})


def _marked(pairs: PairSet) -> Iterator[Path]:
    """Work folders of the trainings of other studies that ever read the set."""
    for file in sorted((pairs.folder / TRAININGS).glob("*.json")):
        yield Path(read_json(file)["work"])
