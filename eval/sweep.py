"""The sweep: every checkpoint answers what it has not answered, every judge judges what it has not judged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from eval.backlog import Asked, Given, Wanted, given_answers, made_judgements, wanted_answers
from eval.chat.budget import TOKENS, Budget
from eval.conversations import conversations
from eval.engine import PASSING, PASSING_SERVED, Engine, Sampling
from eval.estimates import write_estimates
from eval.imported import imported_jobs
from eval.judge import Judge, Judgement, judge_id_of
from eval.judging import Bench
from eval.pairwise import OpenPairs, Pairing, link_pairs
from eval.prompts import PromptSet
from eval.records import (
    CheckpointJob,
    Group,
    answer_rows,
    judgement_rows,
    likelihood_rows,
    study_rows,
    swap_row,
)
from eval.rows import Row, StudyRow
from eval.store import open_store
from eval.tally import tally
from eval.writer import StoreWriter, Touched, link_study
from mergescope.ground.errors import CheckpointError
from mergescope.ground.progress import Beside, Reporter, Task
from mergescope.ground.seeds import derive_seed

ESTIMATE_SECONDS = 20.0
"""Least time between two computations of the estimates while a sweep runs."""
ESTIMATE_SHARE = 0.02
"""Largest share of the time that those computations take, for the engine waits for them."""
MEASURED = 64
"""Texts whose likelihood is asked for at once: what a kill loses at most."""
JUDGED = "judged"
"""What progress calls the judgements that grow out of the answers."""


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
    in_words: int = 0
    """Judgements made now whose verdict was asked for in words, without a schema."""


def run_eval(
    store: Path,
    study: StudyRow,
    groups: Sequence[Group],
    sets: Sequence[PromptSet],
    judges: Sequence[Judge],
    reporter: Reporter,
    *,
    some: bool = False,
    budget: Budget | None = None,
    pairing: Pairing | None = None,
) -> SweepCount:
    """Do what is missing of a study and write its estimates; whatever the store has already is left alone.

    Checkpoint after checkpoint answers, while the judges are at the answers given so far. What is done is committed
    as soon as a second has passed since the last commit, so that a kill loses little and others can read in between.
    An engine is started when its first missing answer is met. some: `groups` are not all checkpoints of the study; the
    others stay as they are. budget: the one that `judges` spend, None: no limit. pairing: what is held against what,
    once all answers are judged one by one; None: nothing. Raises MergescopeError for what the user can mend, a budget
    that did not reach included; what is done stays.
    """
    with open_store(store, read_only=False) as connection:
        link_study(connection, study.study_id, list(study_rows(study, groups, sets, judges)), keep=some)
        link_pairs(connection, study.study_id, pairing)
    wanted = [_wanted(group, sets) for group in groups]
    pairs = zip(groups, wanted, strict=True)
    total = sum(len(own[group.samples_of(job)]) for group, own in pairs for job in group.jobs)
    made = {name: made_judgements(store, name) for name in map(judge_id_of, judges)}
    with reporter.task("answers", total, "answers") as task:
        notes = _Notes(store, sets, judges, task)
        sweep = _Sweep(store, study.study_id, notes, task)
        with ExitStack() as stack:
            stack.callback(notes.writer.flush, wait=True)
            bench = stack.enter_context(Bench(judges, sets, made, notes.judgement))
            for group, some_wanted in zip(groups, wanted, strict=True):
                sweep.ask(group, some_wanted, bench)
            sweep.judge_imported(bench)
        if pairing is not None and (budget is None or budget.refused is None):
            sweep.compare([job for group in groups for job in group.jobs], sets, judges, made)
        sweep.estimate()
    for line in notes.closing_lines():
        reporter.say(line)
    if budget is not None and budget.refused is not None:
        raise budget.reached(_left(store, study.study_id, pairs=pairing is not None))
    return notes.count


def _wanted(group: Group, sets: Sequence[PromptSet]) -> dict[int, list[Wanted]]:
    """What a group's checkpoints are asked, by how many answers they give to a prompt."""
    samples = {group.samples_of(job) for job in group.jobs}
    return {number: wanted_answers(sets, number, measured=group.measures) for number in samples}


class _Notes:
    """Where engine and judges leave what they made: rows for the store, counts for progress."""

    def __init__(self, store: Path, sets: Sequence[PromptSet], judges: Sequence[Judge], task: Task) -> None:
        self.writer = StoreWriter(store)
        self.count = SweepCount()
        self.judged = task.beside.setdefault(JUDGED, Beside())
        self._task = task
        self._places = [(judge_id_of(judge), one_set.set_id) for judge in judges for one_set in sets]
        self._lock = threading.Lock()

    def answer(self, job: CheckpointJob, rows: Sequence[Row], error: str | None) -> None:
        """One answer or likelihood is there."""
        with self._lock:
            self.count.answers += 1
            self._tally(error)
        self._write(job, rows)
        self._task.advance(note=job.label)

    def judgement(self, job: CheckpointJob, asked: Asked, judgement: Judgement) -> None:
        """One judgement is there."""
        with self._lock:
            self.count.judgements += 1
            self.judged.done += 1
            self.count.in_words += judgement.output == "json"
            self.judged.used[TOKENS.unit] += judgement.tokens or 0
            if judgement.cost is not None and judgement.currency is not None:
                self.judged.used[judgement.currency] += judgement.cost
            self._tally(judgement.error_kind)
        self._write(job, list(judgement_rows(asked.row, judgement)))
        self._task.advance(0)

    def closing_lines(self) -> Iterator[str]:
        """What the judges took, and whether one of them did without a schema."""
        if any(self.judged.used.values()):
            yield f"{JUDGED}: {self.judged.text}"
        if self.count.in_words:
            yield f"{JUDGED}: {self.count.in_words:,} verdicts were asked for in words, without a schema"

    def _write(self, job: CheckpointJob, rows: Sequence[Row]) -> None:
        self.writer.add(rows, [Touched(job.checkpoint_id, *place) for place in self._places])
        self.writer.flush()

    def _tally(self, error: str | None) -> None:
        if error is not None:
            self.count.errors[error] += 1
            self._task.errors[error] += 1


class _Sweep:
    """One run of `run_eval`."""

    def __init__(self, store: Path, study_id: str, notes: _Notes, task: Task) -> None:
        self._store = store
        self._study_id = study_id
        self._notes = notes
        self._task = task
        self._asked: set[str] = set()
        self._estimated = time.monotonic()
        self._estimate_s = 0.0

    def ask(self, group: Group, wanted: Mapping[int, Sequence[Wanted]], bench: Bench) -> None:
        """Have each checkpoint of a group answer what it has not answered. wanted: by answers to a prompt."""
        with ExitStack() as stack:
            engine: Engine | None = None
            for job in group.jobs:
                answers = self._given(job, group.sampling)
                own = wanted[group.samples_of(job)]
                missing = [one for one in own if one.key not in answers]
                self._task.found(len(own) - len(missing))
                for given in answers.values():
                    self._judge_found(bench, job, given)
                if missing and engine is None:
                    engine = group.open()
                    stack.callback(engine.close)
                if missing and engine is not None:
                    self._swap(engine, job)
                    self._answer(engine, job, group.sampling, missing, bench)
                if time.monotonic() - self._estimated >= max(ESTIMATE_SECONDS, self._estimate_s / ESTIMATE_SHARE):
                    self._estimate_meanwhile()

    def judge_imported(self, bench: Bench) -> None:
        """Have the judges score what came in from files."""
        with self._notes.writer.quiet():
            found = imported_jobs(self._store, self._study_id)
        for job, sampling_id in found:
            with self._notes.writer.quiet():
                answers = given_answers(self._store, job.checkpoint_id, sampling_id)
            for given in answers.values():
                self._judge_found(bench, job, given)

    def compare(
        self,
        jobs: Sequence[CheckpointJob],
        sets: Sequence[PromptSet],
        judges: Sequence[Judge],
        made: Mapping[str, set[str]],
    ) -> None:
        """Have the judges that can hold these checkpoints' answers against the baseline's."""
        comparing = [judge for judge in judges if judge.compares]
        with ExitStack() as stack:
            stack.callback(self._notes.writer.flush, wait=True)
            bench = stack.enter_context(Bench(comparing, sets, made, self._notes.judgement))
            for judge in comparing:
                with self._notes.writer.quiet(), open_store(self._store, read_only=True) as connection:
                    found = OpenPairs(connection, self._study_id, judge, sets, made[judge_id_of(judge)])
                for job in jobs:
                    with self._notes.writer.quiet(), open_store(self._store, read_only=True) as connection:
                        pairs = found.of(connection, job.checkpoint_id)
                    for pair in pairs:
                        self._notes.judged.grown += bench.compare(job, judge_id_of(judge), pair)

    def estimate(self) -> None:
        """Bring the estimates up to date with what is committed."""
        with self._notes.writer.quiet():
            write_estimates(self._store, self._study_id)

    def _estimate_meanwhile(self) -> None:
        started = time.monotonic()
        self.estimate()
        self._estimated = time.monotonic()
        self._estimate_s = self._estimated - started

    def _given(self, job: CheckpointJob, sampling: Sampling) -> dict[tuple[str, int], Given | None]:
        if job.checkpoint_id in self._asked:  # in another role, or by another engine: its answers may still be queued
            self._notes.writer.flush(wait=True)
        self._asked.add(job.checkpoint_id)
        with self._notes.writer.quiet():
            passing = PASSING_SERVED if job.kind == "served" else PASSING
            return given_answers(self._store, job.checkpoint_id, sampling.sampling_id, passing)

    def _swap(self, engine: Engine, job: CheckpointJob) -> None:
        """Swap a checkpoint's weights in, and hold them against those that answered before under its id."""
        if job.weights is None:
            return
        self._task.advance(0, note=f"{job.label}, weights")
        row = swap_row(job.checkpoint_id, engine.load(job.weights))
        self._notes.count.loads += 1
        with self._notes.writer.quiet(), open_store(self._store, read_only=True) as connection:
            query = "SELECT sha256 FROM swap WHERE checkpoint_id = ?"
            before = connection.execute(query, [job.checkpoint_id]).fetchone()
        if before is not None and before[0] != row.sha256:
            raise CheckpointError(
                f"{job.label} has other weights than when it answered before",
                value=row.sha256,
                cure="run `mergescope verify` on a bundle of it: this machine makes other bits, or a file is damaged",
            )
        self._notes.writer.add([row])

    def _answer(
        self, engine: Engine, job: CheckpointJob, sampling: Sampling, missing: Sequence[Wanted], bench: Bench
    ) -> None:
        ids = job.checkpoint_id, sampling.sampling_id
        measured = [one for one in missing if one.measured]
        for start in range(0, len(measured), MEASURED):
            some = measured[start : start + MEASURED]
            likelihoods = engine.log_likelihoods([one.messages[-1]["content"] for one in some])
            for one, likelihood in zip(some, likelihoods, strict=True):
                self._notes.answer(job, likelihood_rows(*ids, one, likelihood), likelihood.error_kind)
        asked = [one for one in missing if not one.measured]
        for one, turns in conversations(engine, asked, sampling, _seeds(sampling)):
            given, rows = answer_rows(*ids, one, turns)
            self._notes.answer(job, rows, turns[-1].error_kind)
            if given is not None:
                self._notes.judged.grown += bench.put(job, given)

    def _judge_found(self, bench: Bench, job: CheckpointJob, given: Given | None) -> None:
        if given is not None:
            self._notes.judged.found += bench.put(job, given)


def _left(store: Path, study_id: str, *, pairs: bool) -> str:
    with open_store(store, read_only=True) as connection:
        found = tally(connection, study_id)
    left = found.judgements_wanted - found.judgements
    return f"judgements left: {left:,}{', and pairs to compare' if pairs else ''}"


def _seeds(sampling: Sampling) -> Callable[[Wanted, int], int]:
    """The same for every checkpoint, so that answers differ by weights alone; each turn has its own."""

    def seed(wanted: Wanted, turn: int) -> int:
        return derive_seed(sampling.seed, "answer", wanted.prompt_id, wanted.sample_ix, *([turn] if turn else []))

    return seed
