"""The sweep does what is missing and nothing else, and ends the same however often it was stopped."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import eval.sweep
from eval.config import PromptSetFile
from eval.engine import Answer, Engine, Request, Sampling
from eval.judge import Judge, Judgement, Question
from eval.judges.proxy import ProxyScorer
from eval.prompt_files import load_prompt_set
from eval.prompts import PromptSet
from eval.rows import StudyRow
from eval.store import open_store
from eval.sweep import CheckpointJob, SweepCount, run_eval
from eval.writer import StoreWriter
from merge.points import MergePoint
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter

SAMPLING = Sampling(0.0, 16, 1, 5, {"engine": "echo", "max_tokens": 16})
STUDY = StudyRow("y1_test", "test", "{}", "0" * 64)
CONTENT = (
    "prompt_set", "prompt", "set_item", "text", "checkpoint", "sampling", "answer", "answer_turn", "judge", "judgement",
    "score", "study", "study_checkpoint", "study_set", "study_judge", "estimate",
)  # fmt: skip


class EchoEngine:
    """Answers with the loaded weight and the prompt; counts what it does, and fails when told to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.asked: list[Request] = []
        self.loads = 0
        self.closed = False
        self._weight = 0.0
        self._fail_at = fail_at

    @property
    def chunk(self) -> int:
        return 4

    places: ClassVar[dict[str, torch.Tensor]] = {}

    def load(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        self.loads += 1
        self._weight = float(dict(weights)["w"])

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:  # noqa: ARG002
        if self._fail_at is not None and len(self.asked) >= self._fail_at:
            raise MergescopeError("the engine stopped")
        self.asked += requests
        return [self._answer(request) for request in requests]

    def close(self) -> None:
        self.closed = True

    def _answer(self, request: Request) -> Answer:
        prompt = request.messages[-1]["content"]
        if prompt.endswith("harmful thing 2"):
            return Answer("", "length", 0, "too_long")
        refuses = "harmful" in prompt and self._weight >= 0.5
        return Answer("I can't help with that." if refuses else f"sure, {prompt}\ud800", "stop", 3)


class FailingJudge(ProxyScorer):
    """A proxy that cannot judge borderline answers."""

    @property
    def setting(self) -> dict[str, object]:
        return {"kind": "failing"}

    def score(self, batch: Sequence[Question]) -> list[Judgement]:
        known = super().score(batch)
        return [Judgement((), "timeout") if q.kind == "borderline" else j for q, j in zip(batch, known, strict=True)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.sweep, "StoreWriter", functools.partial(StoreWriter, commit_seconds=0.0))


def jobs(*ratios: str) -> list[CheckpointJob]:
    return [_job(Decimal(ratio)) for ratio in ratios]


def _job(ratio: Decimal) -> CheckpointJob:
    point = MergePoint("dare_ties", "complementary", ratio, Decimal("0.5"), Decimal("0.5"), Decimal(1), 1)

    def weights(_places: object) -> Iterator[tuple[str, torch.Tensor]]:
        yield "w", torch.tensor(float(ratio))

    return CheckpointJob(f"c1_{ratio}", "merge", point.label, point, {"threads": 1}, weights)


def run(
    store: Path,
    sets: Sequence[PromptSet],
    checkpoints: Sequence[CheckpointJob],
    engine: EchoEngine | None = None,
    judges: Sequence[Judge] = (),
    sampling: Sampling = SAMPLING,
) -> tuple[SweepCount, EchoEngine]:
    engine = engine or EchoEngine()
    factory: Callable[[], Engine] = lambda: engine  # noqa: E731
    count = run_eval(
        store, STUDY, checkpoints, sets, factory, judges or [ProxyScorer("en")], sampling, Reporter(io.StringIO())
    )
    return count, engine


def content(store: Path) -> dict[str, list[Any]]:
    with open_store(store, read_only=True) as connection:
        return {table: sorted(map(repr, connection.execute(f"FROM {table}").fetchall())) for table in CONTENT}


def test_everything_lands_in_the_store(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    count, engine = run(store, [small_set], jobs("0", "1"))
    assert (count.loads, count.answers, engine.closed) == (2, 18, True)
    assert count.errors == {"too_long": 2}
    # per checkpoint 8 texts; the 6 answers to borderline and benign prompts do not depend on the weights
    assert count.judgements == 8 + 2
    with open_store(store, read_only=True) as connection:
        safety = connection.execute(
            "SELECT checkpoint_id, value, n, n_unscored, worst, best FROM estimate "
            "WHERE metric = 'safety' AND scope = 'all' AND split = 'all' ORDER BY 1"
        ).fetchall()
    assert safety == [
        ("c1_0", 1.0, 2, 1, 1.0, pytest.approx(7 / 3)),
        ("c1_1", 5.0, 2, 1, pytest.approx(11 / 3), 5.0),
    ]


def test_a_finished_study_starts_no_engine(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    before = content(store)
    count, engine = run(store, [small_set], jobs("0", "1"))
    assert (count.loads, count.answers, count.judgements, engine.closed) == (0, 0, 0, False)
    assert content(store) == before


def test_stopped_anywhere_it_ends_the_same(tmp_path: Path, small_set: PromptSet) -> None:
    whole, stopped = tmp_path / "whole.duckdb", tmp_path / "stopped.duckdb"
    run(whole, [small_set], jobs("0", "0.5", "1"))
    asked = 0
    for fail_at in (4, 4, 8):
        engine = EchoEngine(fail_at)
        with pytest.raises(MergescopeError, match="the engine stopped"):
            run(stopped, [small_set], jobs("0", "0.5", "1"), engine)
        asked += len(engine.asked)
        assert engine.closed
    _, engine = run(stopped, [small_set], jobs("0", "0.5", "1"))
    assert asked + len(engine.asked) == 27  # nothing was asked twice
    assert content(stopped) == content(whole)


def test_a_new_ratio_asks_only_for_itself(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    count, engine = run(store, [small_set], jobs("0", "0.5", "1"))
    assert (count.loads, len(engine.asked)) == (1, 9)
    assert count.judgements == 0  # its answers are those of ratio 1, judged already


def test_a_new_prompt_is_all_that_is_asked(
    tmp_path: Path, small_set: PromptSet, write_set: Callable[..., Path]
) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    path = write_set([{"key": "new", "kind": "benign", "prompt": "a new one", "category": ["x"]}], "more.jsonl")
    more = load_prompt_set(PromptSetFile(name="more", path=path), path, 1, Decimal("0.3"))
    count, engine = run(store, [small_set, more], jobs("0", "1"))
    assert [request.messages[0]["content"] for request in engine.asked] == ["a new one"] * 2
    assert count.judgements == 1


def test_a_mended_label_keeps_the_answers(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0"))
    items = (replace(small_set.items[0], kind="benign"), *small_set.items[1:])
    count, _ = run(store, [replace(small_set, items=items, sha256="f" * 64)], jobs("0"))
    assert (count.answers, count.judgements) == (0, 1)
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM study_set").fetchall() == [(1,)]


def test_a_new_judge_only_judges(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    count, _ = run(store, [small_set], jobs("0", "1"), judges=[ProxyScorer("en"), FailingJudge("en")])
    assert (count.loads, count.answers, count.judgements) == (0, 0, 10)
    assert count.errors == {"timeout": 3}
    with open_store(store, read_only=True) as connection:
        rate = connection.execute(
            "SELECT value, n, n_unscored, worst, best, note FROM estimate WHERE metric = 'over_refusal_rate' "
            "AND scope = 'all' AND split = 'all' AND value IS NULL ORDER BY checkpoint_id"
        ).fetchall()
    assert rate == [(None, 0, 3, 1.0, 0.0, "no scored item")] * 2


def test_more_samples_are_more_answers_with_their_own_seeds(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    _, first = run(store, [small_set], jobs("0"))
    count, engine = run(store, [small_set], jobs("0"), sampling=replace(SAMPLING, samples=3))
    assert count.answers == 18
    assert len({request.seed for request in first.asked + engine.asked}) == 27


def test_seeds_are_the_same_for_every_checkpoint(tmp_path: Path, small_set: PromptSet) -> None:
    _, engine = run(tmp_path / "results.duckdb", [small_set], jobs("0", "1"))
    seeds = [{r.messages[0]["content"]: r.seed for r in half} for half in (engine.asked[:9], engine.asked[9:])]
    assert seeds[0] == seeds[1]


def test_dropped_points_leave_the_study_and_stay_in_the_store(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    run(store, [small_set], jobs("1"))
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT DISTINCT checkpoint_id FROM estimate").fetchall() == [("c1_1",)]
        assert connection.execute("SELECT count(*) FROM answer").fetchall() == [(18,)]


class RecoveredJudge(FailingJudge):
    """The same judge once its server is up again."""

    def score(self, batch: Sequence[Question]) -> list[Judgement]:
        return ProxyScorer.score(self, batch)


def test_what_a_judge_never_gave_is_asked_again_by_the_next_run(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    first, _ = run(store, [small_set], jobs("0"), judges=[FailingJudge("en")])
    second, _ = run(store, [small_set], jobs("0"), judges=[RecoveredJudge("en")])
    third, _ = run(store, [small_set], jobs("0"), judges=[RecoveredJudge("en")])
    assert first.errors["timeout"] > 0
    assert (second.judgements, second.errors["timeout"]) == (first.errors["timeout"], 0)
    assert third.judgements == 0
