"""Taking answers and judgements of elsewhere into the store: all of a file or nothing of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import NAME
from eval.estimates import write_estimates
from eval.identity import sampling_id, storable
from eval.imported import imported_job
from eval.interchange import llm_jp
from eval.interchange.forms import AnswerLine, JudgementLine, answer_line, is_name, judgement_line
from eval.interchange.lacking import lacking_answers, lacking_judgements
from eval.interchange.lines import FORMS, Raw, read_rows
from eval.interchange.matching import (
    IMPORTED,
    SAMPLING,
    Known,
    Left,
    Taken,
    answers,
    items_by_prompt,
    judgements,
)
from eval.interchange.standing import answered, standing
from eval.interchange.telling import what_is_in
from eval.records import CheckpointJob, checkpoint_row, set_rows
from eval.rows import Row, SamplingRow, StudyCheckpointRow, StudyJudgeRow
from eval.writer import StoreWriter
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import file_hash, full_hash
from mergescope.inputs import check_store, prompt_sets
from mergescope.lock import locked
from mergescope.study import Study
from mergescope.sweep import study_id, study_row

COMMITTED = 2000
"""Answers or judgements to a commit, so that none holds the store for long."""
AFTER_THE_OWN = 1000
"""Positions of imported judges in a study: behind those of its recipe."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the user gives."""

    files: Sequence[Path]
    checkpoint: str | None = None
    """Name of the checkpoint that answered; None: each row names one of the study's."""
    judge: str | None = None
    """Name of the judge; None: as the rows or the files beside them say."""
    what: str | None = None
    """answers or judgements; None: as file names and fields tell."""
    form: str | None = None
    """One of FORMS; None: by the file's suffix."""


def import_results(study: Study, store: Path, offer: Offer) -> Iterator[str]:
    """Take the files in; yields what was done, line by line. A second time nothing changes.

    Every row is read and matched before anything is written. Raises DataError naming file, line, field and cure;
    MergescopeError for names that are taken and for a study that is running.
    """
    _check(offer)
    if offer.checkpoint is not None:
        _check_name(study, offer.checkpoint)
    check_store(store)
    with locked(study.folder):
        intake = _Intake(study, store, offer)
        given, judged = intake.answers(), intake.judgements()
        new = intake.write(given, judged)
        yield f"{store}: {new['answers']} answers and {new['judgements']} judgements taken in" + _known_already(new)
        yield from intake.left.lines()
        if intake.changed:
            write_estimates(store, study_id(study))
    if given.rows and offer.checkpoint is not None:
        yield f"now `mergescope eval {study.file} --only imported` has the study's judges score them"


def _check(offer: Offer) -> None:
    if offer.form not in (None, *FORMS):
        cure = f"use one of {', '.join(FORMS)}"
        raise MergescopeError("no such format", where="--format", value=offer.form, cure=cure)
    if offer.what not in (None, "answers", "judgements"):
        raise MergescopeError("no such kind of rows", where="--as", value=offer.what, cure="use answers or judgements")
    if offer.judge is not None and (not is_name(offer.judge) or storable(offer.judge) != offer.judge):
        raise MergescopeError("not a name", where="--judge", value=offer.judge, cure="give it in letters")
    if offer.form == llm_jp.FORM and offer.checkpoint is None and not all(map(llm_jp.is_table, offer.files)):
        raise MergescopeError("its rows name no checkpoint", where=offer.files[0], cure="name one with --checkpoint")


def _check_name(study: Study, name: str) -> None:
    """Raises MergescopeError for what `eval.checkpoints` could not be called, and for names that the recipe gives."""
    taken = study.checkpoint_names
    if name in taken or not re.fullmatch(NAME, name):
        cure = f"use letters, digits, dots, dashes; not {', '.join(taken[:-1])} or {taken[-1]}"
        raise MergescopeError("not a name for an import", where="--checkpoint", value=name, cure=cure)


def _known_already(new: Mapping[str, int]) -> str:
    there = [f"{new[f'{what} there']} {what}" for what in ("answers", "judgements") if new[f"{what} there"]]
    return f"; there already: {', '.join(there)}" if there else ""


class _Intake:
    """One import: what the study has, what the files hold, what becomes of it."""

    def __init__(self, study: Study, store: Path, offer: Offer) -> None:
        self._study = study
        self._store = store
        self._offer = offer
        self.left = Left()
        """Rows that are not taken in."""
        self.changed = False
        """Whether anything was written."""
        self._sets = prompt_sets(study)
        self._has = standing(store, study_id(study))
        self._answer_files, self._judgement_files = _sorted(offer)
        if offer.judge is not None and not self._judgement_files:
            what = "no judgements among the files"
            raise MergescopeError(what, where="--judge", value=offer.judge, cure="leave it out")
        self._texts = answered(store, self._has.samplings) if self._judgement_files else frozenset()
        self._generated: dict[str, AnswerLine] = {}
        self._job = self._named()

    def answers(self) -> Taken:
        """What the answer files hold."""
        owner = None if self._job is None else self._job.checkpoint_id
        taken = answers(self._answer_lines(), self._known(), owner, self.left)
        self._texts |= taken.texts
        return taken

    def judgements(self) -> Taken:
        """What the judgement files hold; they may judge answers of the same import."""
        hashes = sorted(map(file_hash, self._judgement_files))
        sha256 = hashes[0] if len(hashes) == 1 else full_hash(hashes)
        return judgements(self._judgement_lines(), self._known(), self._offer.judge, sha256, self.left)

    def write(self, given: Taken, judged: Taken) -> dict[str, int]:
        """Write what the store lacks, links last; returns how many are new and how many were there."""
        new_answers = lacking_answers(self._store, given, self.left)
        new_judgements = lacking_judgements(self._store, judged, self.left)
        links = list(self._links(given, judged))
        self.changed = bool(new_answers.rows or new_judgements.rows or links)
        writer = StoreWriter(self._store)
        for rows in _batches([*new_answers.rows.values(), *new_judgements.rows.values()]):
            writer.flush(wait=True)
            writer.add(rows)
        # with the last rows: a study that shows an import has all of it
        writer.add(links)
        writer.flush(wait=True)
        return {
            "answers": len(new_answers.rows),
            "judgements": len(new_judgements.rows),
            "answers there": new_answers.there,
            "judgements there": new_judgements.there,
        }

    def _known(self) -> Known:
        items = items_by_prompt(item for one_set in self._sets for item in one_set.items)
        return Known(items, self._has.samplings, frozenset(self._has.judges), self._texts)

    def _links(self, given: Taken, judged: Taken) -> Iterator[Row]:
        """The checkpoint and judges that the rows belong to, and their places in the study, as far as they are new."""
        study = study_id(self._study)
        if (given.rows or judged.rows) and not self._has.is_linked:
            yield study_row(self._study)
            yield from set_rows(study, self._sets)
        if self._job is not None and given.rows and self._job.checkpoint_id not in self._has.samplings:
            yield SamplingRow(sampling_id(SAMPLING), json.dumps(SAMPLING))
            yield checkpoint_row(self._job)
            link = study, self._job.checkpoint_id, IMPORTED, sampling_id(SAMPLING), given.samples
            yield StudyCheckpointRow(*link)
        yield from judged.judges.values()
        places = dict(self._has.judges)
        for judge, repeats in judged.repeats.items():
            position, before = places.get(judge, (AFTER_THE_OWN + len(places), 0))
            if position >= AFTER_THE_OWN and repeats > before:
                places[judge] = position, repeats
                yield StudyJudgeRow(study, judge, position, repeats)

    def _named(self) -> CheckpointJob | None:
        """The checkpoint that the user names; raises MergescopeError where the study has another one of that name."""
        if self._offer.checkpoint is None or not self._answer_files:
            return None
        job = imported_job(self._offer.checkpoint, sorted(map(file_hash, self._answer_files)))
        if self._has.labels.get(job.label, job.checkpoint_id) != job.checkpoint_id:
            cure = "give another name; answers of one checkpoint are imported together, all files in one command"
            raise MergescopeError(
                "the study has another checkpoint of this name", where="--checkpoint", value=job.label, cure=cure
            )
        return job

    def _answer_lines(self) -> Iterator[tuple[Raw, AnswerLine]]:
        if self._offer.form == llm_jp.FORM:
            for name, raw, line in llm_jp.generated(self._answer_files):
                if self._generated.setdefault(name, line) != line:
                    raw.refuse("`ID` repeats with another answer", raw.fields["ID"], "give each answer its own")
                yield raw, line
            return
        for path in self._answer_files:
            yield from ((raw, answer_line(raw)) for raw in read_rows(path, self._offer.form))

    def _judgement_lines(self) -> Iterator[tuple[Raw, JudgementLine]]:
        if self._offer.form == llm_jp.FORM:
            yield from llm_jp.judged(self._judgement_files, self._generated, self.left)
            return
        for path in self._judgement_files:
            yield from ((raw, judgement_line(raw)) for raw in read_rows(path, self._offer.form))


def _sorted(offer: Offer) -> tuple[list[Path], list[Path]]:
    """Which files hold answers and which judgements."""
    kinds = {path: offer.what or what_is_in(path, offer.form) for path in offer.files}
    return [path for path in kinds if kinds[path] == "answers"], [p for p in kinds if kinds[p] == "judgements"]


def _batches(groups: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    for start in range(0, len(groups), COMMITTED):
        yield [row for group in groups[start : start + COMMITTED] for row in group]
