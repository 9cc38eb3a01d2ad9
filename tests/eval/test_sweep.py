"""The sweep does what is missing and nothing else, and ends the same however often it was stopped."""

from __future__ import annotations

import functools
import io
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

import eval.sweep
from eval.config import PromptSetFile
from eval.engine import Answer, Likelihood, Request, Sampling, Swap, Weights
from eval.judge import Judge, Judgement, Question
from eval.judges.exact import implied_judges
from eval.judges.proxy import ProxyScorer
from eval.prompt_files import load_prompt_set
from eval.prompts import PromptSet
from eval.records import CheckpointJob, Group
from eval.rows import StudyRow
from eval.store import open_store
from eval.sweep import SweepCount, run_eval
from eval.writer import StoreWriter
from merge.points import MergePoint
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter

LONG = Likelihood(0.0, 0, "too_long")
SAMPLING = Sampling(0.0, 16, 1, 5, {"engine": "echo", "max_tokens": 16})
STUDY = StudyRow("y1_test", "test", "{}", "0" * 64)
CONTENT = (
    "prompt_set", "prompt", "set_item", "text", "checkpoint", "sampling", "answer", "answer_turn", "judge", "judgement",
    "score", "study", "study_checkpoint", "study_set", "study_judge", "estimate", "likelihood", "swap",
)  # fmt: skip


class EchoEngine:
    """Answers with the loaded weight and the prompt; counts what it does, and fails when told to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.asked: list[Request] = []
        self.loads = 0
        self.closed = False
        self._weight = 0.0
        self._fail_at = fail_at

    places: ClassVar[dict[str, torch.Tensor]] = {}

    def load(self, weights: Weights) -> Swap:
        self.loads += 1
        tensors = dict(weights(self.places))
        self._weight = float(tensors["w"])
        return Swap(f"{self._weight}", len(tensors), 4)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:  # noqa: ARG002
        for place, request in enumerate(requests):
            if self._fail_at is not None and len(self.asked) >= self._fail_at:
                raise MergescopeError("the engine stopped")
            self.asked.append(request)
            yield place, self._answer(request)

    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        return [Likelihood(-float(len(text)), len(text)) if len(text) < 99 else LONG for text in texts]

    def close(self) -> None:
        self.closed = True

    def _answer(self, request: Request) -> Answer:
        prompt = request.messages[-1]["content"]
        if prompt.endswith("harmful thing 2"):
            return Answer("", "length", 0, "too_long")
        refuses = "harmful" in prompt and self._weight >= 0.5
        return Answer(
            "I can't help with that." if refuses else f"sure, {prompt.replace('harmful', 'grave')}\ud800", "stop", 3
        )


class FailingJudge(ProxyScorer):
    """A proxy that cannot judge borderline answers."""

    @property
    def setting(self) -> dict[str, object]:
        return {"kind": "failing"}

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        for question, judgement in super().score(questions):
            yield question, Judgement((), "timeout") if question.kind == "borderline" else judgement


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.sweep, "StoreWriter", functools.partial(StoreWriter, commit_seconds=0.05))


def jobs(*ratios: str) -> list[CheckpointJob]:
    return [_job(Decimal(ratio)) for ratio in ratios]


def _job(ratio: Decimal) -> CheckpointJob:
    point = MergePoint("dare_ties", "complementary", ratio, Decimal("0.5"), Decimal("0.5"), Decimal(1), 1)

    def weights(places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG001
        yield "w", torch.tensor(float(ratio))

    return CheckpointJob(f"c1_{ratio}", "merge", point.label, point, {"threads": 1}, weights)


def run(
    store: Path,
    sets: Sequence[PromptSet],
    checkpoints: Sequence[CheckpointJob],
    engine: EchoEngine | None = None,
    judges: Sequence[Judge] = (),
    sampling: Sampling = SAMPLING,
    *,
    some: bool = False,
) -> tuple[SweepCount, EchoEngine]:
    engine = engine or EchoEngine()
    groups = [Group(lambda: engine, sampling, checkpoints)]
    reporter = Reporter(io.StringIO())
    count = run_eval(store, STUDY, groups, sets, judges or [ProxyScorer("en")], reporter, some=some)
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


@pytest.mark.deep
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
    more = load(path)
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

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        return ProxyScorer.score(self, questions)


def test_what_a_judge_never_gave_is_asked_again_by_the_next_run(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    first, _ = run(store, [small_set], jobs("0"), judges=[FailingJudge("en")])
    second, _ = run(store, [small_set], jobs("0"), judges=[RecoveredJudge("en")])
    third, _ = run(store, [small_set], jobs("0"), judges=[RecoveredJudge("en")])
    assert first.errors["timeout"] > 0
    assert (second.judgements, second.errors["timeout"]) == (first.errors["timeout"], 0)
    assert third.judgements == 0


def test_judges_work_while_the_engine_answers(tmp_path: Path, small_set: PromptSet) -> None:
    judged = threading.Event()

    class EarlyJudge(ProxyScorer):
        def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
            for pair in super().score(questions):
                yield pair
                judged.set()

    class WaitingEngine(EchoEngine):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
            for place, answer in super().generate(requests, sampling):
                yield place, answer
                assert answer.error_kind is not None or judged.wait(30)

    count, _ = run(tmp_path / "results.duckdb", [small_set], jobs("0"), WaitingEngine(), [EarlyJudge("en")])
    assert count.judgements == 8


@pytest.mark.deep
def test_what_a_judge_cannot_mend_stops_the_sweep_and_loses_nothing(tmp_path: Path, small_set: PromptSet) -> None:
    class BrokenJudge(ProxyScorer):
        def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
            for number, pair in enumerate(super().score(questions)):
                if number == 3:
                    raise MergescopeError("the judge's server refuses the key")
                yield pair

    store, whole = tmp_path / "results.duckdb", tmp_path / "whole.duckdb"
    with pytest.raises(MergescopeError, match="refuses the key"):
        run(store, [small_set], jobs("0", "1"), judges=[BrokenJudge("en")])
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM judgement").fetchall() == [(3,)]
    run(store, [small_set], jobs("0", "1"))
    run(whole, [small_set], jobs("0", "1"))
    assert content(store) == content(whole)


def test_a_stopped_sweep_does_not_wait_for_all_judgements(tmp_path: Path, small_set: PromptSet) -> None:
    judging, answered = threading.Event(), threading.Event()

    class SlowJudge(ProxyScorer):
        def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
            for pair in super().score(questions):
                judging.set()
                assert answered.wait(30)
                yield pair

    class Stopping(EchoEngine):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
            try:
                yield from super().generate(requests, sampling)
            finally:
                assert judging.wait(30)
                answered.set()

    with pytest.raises(MergescopeError, match="the engine stopped"):
        run(tmp_path / "results.duckdb", [small_set], jobs("0"), Stopping(fail_at=8), [SlowJudge("en")])
    with open_store(tmp_path / "results.duckdb", read_only=True) as connection:
        counts = connection.execute("SELECT (SELECT count(*) FROM answer), (SELECT count(*) FROM judgement)").fetchone()
    assert counts == (8, 1)  # all answers, and the one judgement that was in flight


def test_a_conversation_is_answered_turn_by_turn(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    said = [("user", "first"), ("user", "second"), ("assistant", "given"), ("user", "third")]
    line = {"key": "a", "kind": "benign", "category": ["x"], "messages": [{"role": r, "content": c} for r, c in said]}
    one_set = load(write_set([line, {"key": "b", "kind": "benign", "prompt": "alone", "category": ["x"]}]))
    _, engine = run(tmp_path / "results.duckdb", [one_set], jobs("0"))
    asked = [[m["content"] for m in request.messages] for request in engine.asked]
    first = "sure, first\ud800"
    assert asked == [["alone"], ["first"], ["first", first, "second", "given", "third"]]
    assert len({request.seed for request in engine.asked}) == 3
    with open_store(tmp_path / "results.duckdb", read_only=True) as connection:
        turns = connection.execute(
            "SELECT turn, body FROM answer_turn JOIN text USING (text_id) JOIN answer USING (answer_id) "
            "WHERE turn = 1 OR body LIKE '%first%' ORDER BY 1"
        ).fetchall()
        judged = connection.execute("SELECT body FROM judgement JOIN text USING (text_id) ORDER BY 1").fetchall()
    assert turns == [(0, "sure, first\ufffd"), (1, "sure, third\ufffd")]
    assert judged == [("[1]\nsure, first\ufffd\n\n[2]\nsure, third\ufffd",), ("sure, alone\ufffd",)]


def test_texts_are_measured_and_not_answered(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    lines = [{"key": f"t{i}", "kind": "text", "text": "あ" * i, "category": ["x"]} for i in (3, 99)]
    store = tmp_path / "results.duckdb"
    count, engine = run(store, [load(write_set(lines))], jobs("0"), sampling=replace(SAMPLING, samples=2))
    assert (count.answers, engine.asked, count.judgements, count.errors) == (2, [], 0, {"too_long": 1})
    with open_store(store, read_only=True) as connection:
        rows = connection.execute("SELECT log_likelihood, tokens, bytes FROM likelihood").fetchall()
    assert rows == [(-3.0, 3, 9)]
    assert run(store, [load(write_set(lines))], jobs("0"))[0].answers == 0


def test_a_likelihood_that_is_no_number_is_none(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    class Broken(EchoEngine):
        def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
            return [Likelihood(value, 3) for value in (float("nan"), float("-inf"))[: len(texts)]]

    lines = [{"key": f"t{i}", "kind": "benign", "prompt": "あ" * i, "category": ["x"]} for i in (3, 4)]
    asked = load(write_set(lines))
    texts = replace(asked, items=tuple(replace(item, kind="text") for item in asked.items))
    store = tmp_path / "results.duckdb"
    run(store, [texts], jobs("0"), Broken())
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT error_kind FROM answer").fetchall() == [("not_finite",)] * 2
        found = connection.execute(
            "SELECT value, n_unscored, worst FROM estimate "
            "WHERE metric = 'bits_per_byte' AND scope = 'all' AND split = 'all'"
        ).fetchall()
    assert found == [(None, 2, 8.0)]


def test_guard_and_wrappers_go_all_the_way(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    """Choices 1 of 2 right; 3 nats over 9 bytes; the plain prompt is refused, in Base64 it is answered."""
    lines = [
        {"key": "h", "kind": "harmful", "prompt": "harmful thing 1", "category": ["x"]},
        {"key": "c", "kind": "choice", "prompt": "the answer is 2", "category": ["x"], "reference": "2"},
        {"key": "d", "kind": "choice", "prompt": "which of 1 and 2?", "category": ["x"], "reference": "2"},
        {"key": "t", "kind": "benign", "prompt": "あああ", "category": ["x"]},
    ]
    path, store = write_set(lines), tmp_path / "results.duckdb"
    file = PromptSetFile(name="guard", path=path, wrappers=("base64", "persistence"))
    asked = load_prompt_set(file, path, 1, Decimal("0.3"))
    guard = replace(asked, items=tuple(replace(i, kind="text") if i.key == "t" else i for i in asked.items))
    _, engine = run(store, [guard], jobs("1"), judges=[ProxyScorer("en"), *implied_judges([guard])])
    assert len(engine.asked) == 1 + 1 + 2 + 2  # persistence asks twice
    with open_store(store, read_only=True) as connection:
        found = dict(
            connection.execute(
                "SELECT metric || ' ' || scope, value FROM estimate WHERE split = 'all' AND value IS NOT NULL"
            ).fetchall()
        )
    assert found["choice_accuracy all"] == 0.5
    assert found["bits_per_byte all"] == pytest.approx(3 / math.log(2) / 9)
    assert found["violation_rate all"] == 0.0
    assert found["jailbreak_violation_rate category:base64"] == 1.0
    assert "jailbreak_violation_rate category:persistence" in found


def test_an_answer_that_a_server_did_not_give_is_asked_again(tmp_path: Path, small_set: PromptSet) -> None:
    class Unwilling(EchoEngine):
        def _answer(self, request: Request) -> Answer:
            failed: dict[str, Answer] = {"0": Answer("", "stop", 0, "server"), "1": Answer("", "stop", 0, "filter")}
            return failed.get(request.messages[-1]["content"][-1]) or super()._answer(request)

    store = tmp_path / "results.duckdb"
    first, _ = run(store, [small_set], jobs("0"), Unwilling())
    assert first.errors == {"server": 3, "filter": 3, "too_long": 1}
    second, engine = run(store, [small_set], jobs("0"))
    assert (len(engine.asked), second.errors, second.judgements) == (3, {}, 3)
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM answer WHERE error_kind = 'server'").fetchall() == [(0,)]


def test_what_was_too_long_for_a_server_is_asked_again(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    served = [replace(jobs("0")[0], kind="served", weights=None)]
    first, _ = run(store, [small_set], served)
    again, engine = run(store, [small_set], served)
    assert first.errors == again.errors == {"too_long": 1}
    assert (again.answers, len(engine.asked)) == (1, 1)


def test_other_weights_under_the_same_id_are_refused(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    with pytest.raises(MergescopeError, match="the engine stopped"):
        run(store, [small_set], jobs("0"), EchoEngine(fail_at=2))
    changed = [replace(jobs("0")[0], weights=jobs("1")[0].weights)]
    with pytest.raises(MergescopeError, match="has other weights than when it answered before"):
        run(store, [small_set], changed)


def test_an_engine_that_has_its_weights_is_not_loaded(tmp_path: Path, small_set: PromptSet) -> None:
    count, engine = run(tmp_path / "results.duckdb", [small_set], [replace(jobs("0")[0], weights=None)])
    assert (count.loads, engine.loads, len(engine.asked)) == (0, 0, 9)


def test_some_checkpoints_leave_the_others_linked(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    run(store, [small_set], [replace(jobs("0.5")[0], kind="base")], some=True)
    with open_store(store, read_only=True) as connection:
        linked = connection.execute("SELECT checkpoint_id FROM study_checkpoint ORDER BY 1").fetchall()
        measured = connection.execute("SELECT DISTINCT checkpoint_id FROM estimate ORDER BY 1").fetchall()
    assert linked == measured == [("c1_0",), ("c1_0.5",), ("c1_1",)]


@pytest.mark.deep
def test_some_checkpoints_take_the_place_of_those_that_they_were(tmp_path: Path, small_set: PromptSet) -> None:
    def reference(kind: Literal["model-safe", "served", "other"], label: str, name: str) -> CheckpointJob:
        return replace(jobs("0")[0], checkpoint_id=name, kind=kind, label=label, point=None)

    store = tmp_path / "results.duckdb"
    safe, rival, other = (
        reference("model-safe", "model-safe", "c1_safe"),
        reference("served", "rival", "c1_rival"),
        reference("other", "other", "c1_other"),
    )
    base = replace(safe, checkpoint_id="c1_base", kind="base", label="base")
    run(store, [small_set], [*jobs("0", "1"), base, safe, rival, other])
    new = replace(safe, checkpoint_id="c1_new")
    run(store, [small_set], [*jobs("1"), replace(new, kind="base", label="base"), new], some=True)
    run(store, [small_set], [replace(rival, checkpoint_id="c1_newer")], some=True)
    with open_store(store, read_only=True) as connection:
        linked = connection.execute("SELECT role, checkpoint_id FROM study_checkpoint ORDER BY ALL").fetchall()
    assert linked == [
        ("base", "c1_new"),
        ("merge", "c1_1"),
        ("model-safe", "c1_new"),
        ("other", "c1_other"),
        ("served", "c1_newer"),
    ]


def test_some_checkpoints_leave_the_recipe_that_all_were_evaluated_by(
    tmp_path: Path, small_set: PromptSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored() -> list[Any]:
        with open_store(store, read_only=True) as connection:
            return connection.execute("SELECT recipe_hash FROM study").fetchall()

    store = tmp_path / "results.duckdb"
    for recipe, some, kept in (("0", True, "0"), ("1", True, "0"), ("2", False, "2"), ("3", True, "2")):
        monkeypatch.setattr(f"{__name__}.STUDY", replace(STUDY, recipe_hash=recipe * 64))
        run(store, [small_set], jobs("0"), some=some)
        assert stored() == [(kept * 64,)]


def test_a_checkpoint_in_two_roles_answers_once(
    tmp_path: Path, small_set: PromptSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval.sweep, "StoreWriter", functools.partial(StoreWriter, commit_seconds=1.0))
    (base,) = jobs("0")
    count, engine = run(tmp_path / "results.duckdb", [small_set], [base, replace(base, kind="model-safe")])
    assert (count.loads, count.answers, len(engine.asked)) == (1, 9, 9)


def test_only_the_samples_and_repeats_of_the_study_count(tmp_path: Path, small_set: PromptSet) -> None:
    class Thrice(ProxyScorer):
        repeats = 3

    store, plain = tmp_path / "results.duckdb", tmp_path / "plain.duckdb"
    run(store, [small_set], jobs("0"), judges=[Thrice("en")], sampling=replace(SAMPLING, samples=3))
    run(store, [small_set], jobs("0"))
    run(plain, [small_set], jobs("0"))
    assert content(store)["estimate"] == content(plain)["estimate"]


def load(path: Path) -> PromptSet:
    return load_prompt_set(PromptSetFile(name="more", path=path), path, 1, Decimal("0.3"))
