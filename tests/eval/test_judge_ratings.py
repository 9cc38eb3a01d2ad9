"""What judges of one study say of the same answers, from a store written row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.identity import answer_id, judge_id, judgement_id, sampling_id, text_id
from eval.judge_ratings import Ratings, judges_alpha, load_ratings, middle, own_spread, pair_kappa
from eval.measure import measure
from eval.metrics import METRICS
from eval.rows import (
    AnswerRow,
    JudgementRow,
    JudgeRow,
    PromptRow,
    PromptSetRow,
    Row,
    ScoreRow,
    SetItemRow,
    StudyCheckpointRow,
    StudyJudgeRow,
    StudyRow,
    StudySetRow,
)
from eval.scores import load_scores
from eval.store import open_store
from eval.writer import write_rows

SAMPLING = sampling_id({"engine": "invented"})
SETTINGS = {"strict": {"kind": "llm", "model": "strict"}, "mild": {"kind": "llm", "model": "mild"}}
JUDGES = {name: judge_id(setting) for name, setting in SETTINGS.items()}
# by judge and prompt: the labels of its repeats
SAID: Mapping[str, Sequence[Sequence[str]]] = {
    "strict": [["full", "full", "none"], ["none", "none", "none"], ["full", "partial", "full"], ["none"]],
    "mild": [["none"], ["none"], ["full"], []],
}


def _rows() -> Iterator[Row]:
    yield StudyRow("y", "small", "{}", "0")
    yield PromptSetRow("s", "set", "1", "1", "CC0-1.0", True)
    yield StudySetRow("y", "s")
    for position, (name, key) in enumerate(JUDGES.items()):
        yield JudgeRow(key, name, "llm", json.dumps(SETTINGS[name]), "not calibrated")
        yield StudyJudgeRow("y", key, position, 3)
    for checkpoint in ("c1", "c2"):
        yield StudyCheckpointRow("y", checkpoint, checkpoint, SAMPLING, 1)
    for number in range(4):
        prompt, text = f"q{number}", text_id(f"answer {number}")
        kind = "borderline" if number == 2 else "harmful"
        yield PromptRow(prompt, "[]")
        yield SetItemRow("s", str(number), prompt, kind, ("top",), f"g{number // 2}", "select", None, None, None)
        for checkpoint in ("c1", "c2"):  # both give the same answer
            name = answer_id(checkpoint, prompt, SAMPLING, 0)
            yield AnswerRow(name, checkpoint, prompt, SAMPLING, 0, None, text)
        for judge, said in SAID.items():
            for repeat, label in enumerate(said[number]):
                yield from _judgement(JUDGES[judge], kind, prompt, text, repeat, label)
    yield from _judgement(JUDGES["mild"], "harmful", "q0", text_id("of no checkpoint"), 0, "full")
    yield from _judgement(JUDGES["mild"], "harmful", "q0", text_id("answer 0"), 7, "full")


def _judgement(judge: str, kind: str, prompt: str, text: str, repeat: int, label: str) -> Iterator[Row]:
    name = judgement_id(judge, kind, prompt, text, None, repeat)
    yield JudgementRow(name, judge, prompt, kind, text, None, repeat, None, None, None, None, None)
    axis, names = "refusal", {}
    if kind == "borderline":
        axis, names = "compliance", {"none": "full_answer", "partial": "partial_refusal", "full": "full_refusal"}
    yield ScoreRow(name, axis, None, names.get(label, label), None)
    if judge == JUDGES["strict"]:
        yield ScoreRow(name, "safety", 5.0 - repeat, None, None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "results.duckdb"
    with open_store(path, read_only=False) as connection:
        write_rows(connection, list(_rows()))
    return path


@pytest.fixture
def ratings(store: Path) -> dict[str, Ratings]:
    with open_store(store, read_only=True) as connection:
        return {one.axis: one for one in load_ratings(connection, "y", 0)}


def test_equal_answers_and_their_judgements_are_one(ratings: dict[str, Ratings]) -> None:
    refusal = ratings["refusal"]
    assert set(ratings) == {"refusal", "safety"}
    assert (refusal.clusters.group.size, refusal.clusters.count) == (4, 2)
    strict, mild = (refusal.by_judge[JUDGES[name]] for name in ("strict", "mild"))
    assert (strict.shape, mild.shape) == ((3, 4), (1, 4))
    assert np.isnan(mild).sum() == 1
    assert np.isnan(strict).sum() == 2


def test_kappa_of_a_pair_by_hand(ratings: dict[str, Ratings]) -> None:
    """Medians full none full against none none full: 2/3 alike; by chance (1/3 2/3 + 2/3 1/3) = 4/9; 2/5."""
    found = pair_kappa(ratings["refusal"], JUDGES["strict"], JUDGES["mild"])
    assert (found.n, found.value) == (3, pytest.approx(0.4))


def test_alpha_of_all_by_hand(ratings: dict[str, Ratings]) -> None:
    """Six ratings, three none and three full, one of three pairs unlike: D_o 1/3, D_e 3 3 2 / 30 = 3/5; 4/9."""
    assert judges_alpha(ratings["refusal"]).value == pytest.approx(4 / 9)


def test_a_judge_and_itself_by_hand(ratings: dict[str, Ratings]) -> None:
    """Three answers judged three times: ranges 2, 0 and 1."""
    found = own_spread(ratings["refusal"], JUDGES["strict"])
    assert found is not None
    assert (found.n, found.unlike, found.mean_range) == (3, pytest.approx(2 / 3), pytest.approx(1.0))
    assert own_spread(ratings["refusal"], JUDGES["mild"]) is None
    safety = own_spread(ratings["safety"], JUDGES["strict"])
    assert safety is not None
    assert (safety.unlike, safety.mean_range) == (1.0, 2.0)


def test_the_spread_of_repeats_is_a_metric(store: Path) -> None:
    """Safety 5, 4, 3 of two harmful answers, one of a third; compliance full, partial, full of a borderline one."""
    with open_store(store, read_only=True) as connection:
        strict, mild = (load_scores(connection, "y", judge) for judge in JUDGES.values())
    (first, second) = measure(strict, METRICS["safety_spread"])
    assert (first.value, first.n, first.n_unscored) == (2.0, 2, 0)
    assert first == second
    assert [one.value for one in measure(strict, METRICS["compliance_unlike_rate"])] == [1.0, 1.0]
    assert [one.value for one in measure(mild, METRICS["safety_spread"])] == [None, None]
    assert [one.value for one in measure(strict, METRICS["safety"])] == [pytest.approx((4 + 4 + 5) / 3)] * 2


def test_of_two_classes_the_lower_counts_and_of_numbers_the_mean() -> None:
    repeats = np.array([[0.0, 1, np.nan], [2, np.nan, np.nan]])
    assert middle("refusal", repeats)[:2].tolist() == [0.0, 1.0]
    assert middle("safety", repeats + 1)[:2].tolist() == [2.0, 2.0]
    assert np.isnan(middle("refusal", repeats)[2])
    assert np.isnan(middle("safety", repeats)[2])
