"""The sweep: every checkpoint answers what it has not answered, every judge judges what it has not judged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from eval.backlog import Given, Wanted, chunks, given_answers, questions, unjudged, wanted_answers
from eval.engine import Engine, Request, Sampling
from eval.estimates import write_estimates
from eval.imported import imported_jobs
from eval.judge import Judge, judge_id_of
from eval.prompts import PromptSet
from eval.records import CheckpointJob, answer_rows, judgement_rows, study_rows
from eval.rows import StudyRow
from eval.store import open_store
from eval.writer import StoreWriter, Touched, link_study
from mergescope.ground.progress import Reporter, Task
from mergescope.ground.seeds import derive_seed

ESTIMATE_SECONDS = 20.0
"""Least time between two computations of the estimates while a sweep runs."""

Answers = dict[tuple[str, int], Given | None]


@dataclass(slots=True)
class SweepCount:
    """What a sweep did, for its closing line and for tests of resuming."""

    loads: int = 0
    """Times that weights were swapped in."""
    answers: int = 0
    """Answers given now."""
    judgements: int = 0
    """Judgements made now."""
    errors: Counter[str] = field(default_factory=Counter)
    """Answers and judgements that failed now, by kind."""


def run_eval(
    store: Path,
    study: StudyRow,
    checkpoints: Sequence[CheckpointJob],
    sets: Sequence[PromptSet],
    engine_factory: Callable[[], Engine],
    judges: Sequence[Judge],
    sampling: Sampling,
    reporter: Reporter,
) -> SweepCount:
    """Do what is missing of a study and write its estimates; whatever the store has already is left alone.

    Checkpoint after checkpoint: answers in chunks, then judgements. What is done is committed as soon as a second
    has passed since the last commit, so that a kill loses little and others can read in between. The engine is made
    when the first missing answer is met. Raises MergescopeError for what the user can mend; what is done stays.
    """
    sweep = _Sweep(store, study, sets, judges, sampling)
    with open_store(store, read_only=False) as connection:
        link_study(connection, study.study_id, list(study_rows(study, checkpoints, sets, judges, sampling)))
    total = len(checkpoints) * len(sweep.wanted)
    with reporter.task("answers and scores", total, "answers") as task, ExitStack() as stack:
        stack.callback(sweep.commit)
        engine: Engine | None = None
        for job in checkpoints:
            answers, missing = sweep.state(job)
            task.advance(len(sweep.wanted) - len(missing), note=sweep.note(job))
            if missing and engine is None:
                engine = engine_factory()
                stack.callback(engine.close)
            if missing and engine is not None:
                answers |= sweep.answer(engine, job, missing, task)
            sweep.judge(job, answers, task)
        for job, sampling_id in imported_jobs(store, study.study_id):
            sweep.judge(job, given_answers(store, job.checkpoint_id, sampling_id), task)
        sweep.finish()
    return sweep.count


class _Sweep:
    """One run of `run_eval`."""

    def __init__(
        self, store: Path, study: StudyRow, sets: Sequence[PromptSet], judges: Sequence[Judge], sampling: Sampling
    ) -> None:
        self._store = store
        self._study_id = study.study_id
        self._sets = sets
        self._judges = judges
        self._sampling = sampling
        self._writer = StoreWriter(store)
        self._queued: set[str] = set()
        """Judgements that are made but perhaps not committed yet."""
        self._failed: set[str] = set()
        """Judgements that failed in this run: the next run asks them again, not the next checkpoint."""
        self._estimated = time.monotonic()
        self.wanted = wanted_answers(sets, sampling.samples)
        """Every answer that a checkpoint of the study gives."""
        self.count = SweepCount()

    def state(self, job: CheckpointJob) -> tuple[Answers, list[Wanted]]:
        """What a checkpoint has answered, and what it still has to answer."""
        answers = given_answers(self._store, job.checkpoint_id, self._sampling.sampling_id)
        return answers, [w for w in self.wanted if (w.prompt_id, w.sample_ix) not in answers]

    def answer(self, engine: Engine, job: CheckpointJob, missing: Sequence[Wanted], task: Task) -> Answers:
        """Have one checkpoint answer what is missing."""
        engine.load(job.weights(engine.places))
        self.count.loads += 1
        new: Answers = {}
        for chunk in chunks(missing, engine.chunk):
            requests = [Request(w.messages, self._seed(w)) for w in chunk]
            for wanted, answer in zip(chunk, engine.generate(requests, self._sampling), strict=True):
                given, rows = answer_rows(job.checkpoint_id, self._sampling.sampling_id, wanted, answer)
                new[wanted.prompt_id, wanted.sample_ix] = given
                self._writer.add(rows, self._touched(job))
                self._tally(answer.error_kind)
            self.count.answers += len(chunk)
            self._commit()
            task.advance(len(chunk), note=self.note(job))
        return new

    def judge(self, job: CheckpointJob, answers: Answers, task: Task) -> None:
        """Have every judge score what it has not seen of one checkpoint's answers, then look at the estimates."""
        for judge in self._judges:
            asked = questions(self._sets, answers, judge_id_of(judge), judge.repeats)
            new = [name for name in unjudged(self._store, list(asked)) if name not in self._queued | self._failed]
            for chunk in chunks(new, judge.chunk):
                judgements = judge.score([asked[name].question for name in chunk])
                for name, judgement in zip(chunk, judgements, strict=True):
                    self._writer.add(judgement_rows(asked[name], judgement), self._touched(job))
                    self._queued.add(name)
                    if judgement.error_kind is not None:
                        self._failed.add(name)
                    self._tally(judgement.error_kind)
                self.count.judgements += len(chunk)
                self._commit()
                task.advance(0, note=self.note(job))
        if time.monotonic() - self._estimated >= ESTIMATE_SECONDS:
            self.finish()

    def finish(self) -> None:
        """Commit what is queued and bring the estimates up to date."""
        self.commit()
        write_estimates(self._store, self._study_id, self._sampling.seed)
        self._estimated = time.monotonic()

    def commit(self) -> None:
        """Commit what is queued, at the end or when something went wrong."""
        self._writer.flush(wait=True)
        self._queued.clear()

    def note(self, job: CheckpointJob) -> str:
        """What stands beside the progress bar: the checkpoint and the errors so far, by kind."""
        errors = ", ".join(f"{kind} {count}" for kind, count in sorted(self.count.errors.items()))
        return f"{job.label} ({errors})" if errors else job.label

    def _commit(self) -> None:
        if self._writer.flush():
            self._queued.clear()

    def _tally(self, error: str | None) -> None:
        if error is not None:
            self.count.errors[error] += 1

    def _touched(self, job: CheckpointJob) -> list[Touched]:
        names = [judge_id_of(judge) for judge in self._judges]
        return [Touched(job.checkpoint_id, name, one_set.set_id) for name in names for one_set in self._sets]

    def _seed(self, wanted: Wanted) -> int:
        return derive_seed(self._sampling.seed, "answer", wanted.prompt_id, wanted.sample_ix)
