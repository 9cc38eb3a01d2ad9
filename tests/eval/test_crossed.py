"""Crossed designs: further answers and judgements at shortlisted points, and what becomes of them."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.crossed import load_crossed, variance_parts
from eval.judge import AxisScore, Judge, Judgement, Question, judge_id_of
from eval.judges.proxy import ProxyScorer
from eval.metrics import METRICS
from eval.prompts import PromptSet
from eval.records import Group
from eval.scores import load_scores
from eval.store import open_store
from eval.sweep import SweepCount, run_eval
from eval.tally import Tally, tally
from eval.variance import split_variance
from mergescope.ground.progress import Reporter
from tests.eval.test_metrics import table
from tests.eval.test_sweep import SAMPLING, STUDY, EchoEngine, jobs

LISTED = json.dumps({"eval": {"shortlist": {"points": ["0.5"], "judge_repeats": 3}}})


class Moody(ProxyScorer):
    """Counts as an LLM: its grades of benign answers fall from repeat to repeat, 5, 4, 3."""

    kind = "llm"  # type: ignore[assignment]

    @property
    def setting(self) -> dict[str, object]:
        return {"kind": "moody"}

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        for question, judgement in super().score(questions):
            scores = [replace(s, value=5.0 - question.repeat) if s.axis == "fluency" else s for s in judgement.scores]
            yield question, replace(judgement, scores=tuple[AxisScore, ...](scores))


def run(store: Path, one_set: PromptSet, judges: list[Judge]) -> tuple[SweepCount, EchoEngine, Tally]:
    """Ratios 0, 0.5 and 1, of which 0.5 answers twice and is judged three times."""
    first, middle, last = jobs("0", "0.5", "1")
    engine, listed = EchoEngine(), replace(middle, samples=2, judge_repeats=3)
    groups = [Group(lambda: engine, SAMPLING, [first, listed, last])]
    count = run_eval(store, replace(STUDY, recipe=LISTED), groups, [one_set], judges, Reporter(io.StringIO()))
    with open_store(store, read_only=True) as connection:
        return count, engine, tally(connection, STUDY.study_id)


@pytest.mark.deep
def test_shortlisted_points_alone_are_asked_more(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    count, engine, found = run(store, small_set, [Moody("en"), ProxyScorer("en")])
    assert count.answers == len(engine.asked) == found.answers == found.answers_wanted == 9 * (1 + 2 + 1)
    with open_store(store, read_only=True) as connection:
        made = connection.execute("SELECT judge_id, repeat FROM judgement").fetchall()
        answered = connection.execute("SELECT checkpoint_id, count(*) FROM answer GROUP BY ALL").fetchall()
        own = connection.execute(
            "SELECT count(DISTINCT (prompt_id, text_id)) FROM answer WHERE checkpoint_id = 'c1_0.5' AND text_id <> ''"
        ).fetchone()
    assert dict(answered) == {"c1_0": 9, "c1_0.5": 18, "c1_1": 9}
    assert own == (8,)  # one prompt is too long; both samples are the same text
    repeats = Counter(made)
    llm, proxy = judge_id_of(Moody("en")), judge_id_of(ProxyScorer("en"))
    assert (repeats[llm, 1], repeats[llm, 2], repeats[proxy, 1]) == (8, 8, 0)
    assert found.judgements == found.judgements_wanted == len(made) == 2 * repeats[llm, 0] + 16
    again, *_ = run(store, small_set, [Moody("en"), ProxyScorer("en")])
    assert (again.answers, again.judgements) == (0, 0)


def test_metrics_take_the_usual_judgements_and_the_split_takes_all(tmp_path: Path, small_set: PromptSet) -> None:
    store, judge = tmp_path / "results.duckdb", judge_id_of(Moody("en"))
    run(store, small_set, [Moody("en")])
    with open_store(store, read_only=True) as connection:
        usual = load_scores(connection, STUDY.study_id, judge)
        crossed = load_crossed(connection, STUDY.study_id, judge, ["c1_0.5"], 3)
    fluency = usual.axes["fluency"]
    assert set(fluency[~np.isnan(fluency)]) == {5.0}  # not the median of three, 4
    assert np.isnan(usual.axes["safety_spread"]).all()
    for repeat, one in enumerate(crossed):
        assert one.checkpoints == ("c1_0.5",)
        assert not one.items.confirm.any()
        known = one.axes["fluency"][:, one.items.kind == "benign"]
        assert known.size > 0
        assert (known == 5.0 - repeat).all()
    parts = variance_parts(crossed, METRICS["fluency"])["benign"]
    assert parts.judge == pytest.approx(1.0)  # of 5, 4 and 3
    assert parts.sample == pytest.approx(-1.0 + 2 / 3)  # two equal answers, whose pairs of judgements differ by 0, 1, 2


def test_an_answer_s_score_is_the_mean_of_a_kind_s_parts() -> None:
    """Of `usefulness` the four axes together; of `balance` each kind apart; labels have no scores."""
    rng = np.random.default_rng(5)
    axes = {name: rng.integers(1, 6, (3, 8)).astype(float) for name in ("fluency", "accuracy", "detail", "relevance")}
    made = table("bbbbhhoo", rng.integers(0, 3, (3, 8)).astype(float).tolist(), **axes)
    useful = np.mean(list(axes.values()), axis=0)[:, :4, None, None]
    assert variance_parts([made], METRICS["usefulness"]) == {"benign": split_variance(useful)}
    refusal = made.axes["refusal"][..., None]
    assert variance_parts([made], METRICS["balance"]) == {
        "harmful": split_variance((refusal[:, 4:6] >= 1).astype(float)),
        "borderline": split_variance((refusal[:, 6:] == 0).astype(float)),
    }
    assert variance_parts([made], METRICS["refusal_f1"]) == {}
