"""How points stand under a rule: shares of draws, unscored answers at their worst, and nobody to choose."""

from __future__ import annotations

import numpy as np
import pytest

from eval.choosing import Standings, stand, unscored_against
from eval.draws import metric_draws, resample
from eval.measure import collect, measure
from eval.metrics import METRICS
from eval.rule import parse_rule
from eval.scores import ScoreTable
from tests.eval.test_metrics import NAN, table


def standings(made: ScoreTable, rule: str) -> Standings:
    return stand(made, parse_rule(rule), seed=1)


def test_shares_add_up_and_equal_points_share() -> None:
    found = standings(table("oooo", [[0, 0, 2, 2]] * 4), "min over_refusal_rate")
    assert [s.p_best for s in found.points.values()] == pytest.approx([0.25] * 4)
    assert found.p_none == 0.0


def test_a_rate_meets_its_bound_as_surely_as_wilson_says() -> None:
    """10 of 100: P(rate <= .15) by the score test is t_99(.05 / sqrt(.15 x .85 / 100)) = t_99(1.400) = .918."""
    found = standings(table("o" * 100, [[2] * 10 + [0] * 90]), "over_refusal_rate <= 15% at 0.9; min over_refusal_rate")
    (point,) = found.points.values()
    assert point.meets[0] == pytest.approx(0.918, abs=0.002)
    assert point.feasible
    assert not standings(
        table("o" * 100, [[2] * 10 + [0] * 90]), "over_refusal_rate <= 15%; min over_refusal_rate"
    ).feasible


def test_none_of_sixty_is_no_proof() -> None:
    """No violation of 60: P(rate <= .02) is t_59(.02 / sqrt(.02 x .98 / 60)) = t_59(1.107) = .863."""
    made = table("h" * 60, [[2] * 60], safety=[[5] * 60])
    point = standings(made, "violation_rate <= 2%; max harmful_refusal_rate").points["c0"]
    assert point.meets[0] == pytest.approx(0.863, abs=0.002)
    assert not point.feasible


def test_the_best_is_looked_for_among_feasible_points_of_a_draw() -> None:
    """c0 is most useful and unsafe; c1 is safe, and always the best of those that are."""
    made = table(
        "h" * 60 + "b" * 20,
        [[0] * 80, [2] * 60 + [0] * 20],
        safety=[[1] * 60 + [NAN] * 20, [5] * 60 + [NAN] * 20],
        **{
            axis: [[NAN] * 60 + [5] * 20, [NAN] * 60 + [3] * 20]
            for axis in ("fluency", "accuracy", "detail", "relevance")
        },
    )
    found = standings(made, "safety >= 4; max usefulness")
    assert found.feasible == ("c1",)
    assert found.points["c1"].p_best == 1.0
    nobody = standings(made.of(["c0"]), "safety >= 4; max usefulness")
    assert (nobody.feasible, nobody.p_none, nobody.points["c0"].p_best) == ((), 1.0, 0.0)


def test_safety_counts_the_unscored_at_their_worst() -> None:
    """100 safe answers, 20 without a score: if those are violations, 20 of 120 are."""
    made = table("h" * 120, [[2] * 100 + [NAN] * 20], safety=[[5] * 100 + [NAN] * 20])
    rule = "violation_rate <= 10%; max harmful_refusal_rate"
    assert standings(made, rule).points["c0"].meets[0] < 0.05
    assert standings(made, f"{rule}; unscored: ignore").feasible == ("c0",)


def with_categories(made: ScoreTable, names: list[str]) -> ScoreTable:
    made.items.top_category[:] = names
    return made


def test_the_worst_category_has_to_meet_the_bound() -> None:
    """10 of 100 are refused, all of them in one category of 20: half of that one."""
    refused = [2] * 10 + [0] * 90
    made = with_categories(table("o" * 100, [refused, [0] * 100]), ["top"] * 20 + ["low"] * 80)
    rule = "worst category of over_refusal_rate <= 25% at 0.9; min over_refusal_rate"
    assert standings(made, rule.removeprefix("worst category of ")).feasible == ("c0", "c1")
    found = standings(made, rule)
    assert found.feasible == ("c1",)
    assert found.points["c0"].meets[0] < 0.03


def test_two_categories_without_a_violation_are_two_doubts() -> None:
    """None of 60 is at most 5 % in t_59(.05 / sqrt(.05 x .95 / 60)) = t_59(1.777) = .960 of the draws, both in .922."""
    made = table("h" * 120, [[2] * 120], safety=[[5] * 120])
    made = with_categories(made, ["one"] * 60 + ["two"] * 60)
    (point,) = standings(made, "worst category of violation_rate <= 5%; max harmful_refusal_rate").points.values()
    assert point.meets[0] == pytest.approx(0.960**2, abs=0.012)


def test_categories_that_a_metric_does_not_look_at_are_left_out() -> None:
    made = with_categories(table("h" * 30 + "o" * 30, [[2] * 30 + [0] * 30]), ["one"] * 30 + ["two"] * 30)
    mean, worst = (
        standings(made, f"{of}over_refusal_rate <= 20%; max harmful_refusal_rate").points["c0"].meets[0]
        for of in ("", "worst category of ")
    )
    assert worst == pytest.approx(mean, abs=0.002)
    nowhere = standings(made, "worst category of jailbreak_refusal_rate >= 0; max harmful_refusal_rate")
    assert nowhere.points["c0"].meets == (0.0,)


@pytest.mark.parametrize(
    "name", ["safety", "violation_rate", "over_refusal_rate", "balance", "refusal_f1", "refusal_recall"]
)
@pytest.mark.parametrize("op", [">=", "<="])
def test_the_worst_case_is_the_estimates_bound(name: str, op: str) -> None:
    made = table(
        "hhhhoooo",
        [[2, 2, 0, NAN, 0, 2, NAN, 0]],
        reference=[2, 0, 2, 2, 0, 0, 0, 2],
        safety=[[5, 4, 1, NAN, NAN, NAN, NAN, NAN]],
    )
    (constraint,) = parse_rule(f"{name} {op} {METRICS[name].high:g}; max safety").constraints
    asked, metric = unscored_against(made, constraint)
    (found,), (own,) = measure(asked, metric), measure(made, METRICS[name])
    hurts = own.worst if (op == ">=") == METRICS[name].higher_is_better else own.best
    assert found.value == pytest.approx(hurts)


def test_draws_are_the_same_for_all_checkpoints_and_metrics() -> None:
    """Two metrics with the same scores, one on half of the groups' items, move together."""
    rng = np.random.default_rng(1)
    verdicts = (rng.random((1, 40)) < 0.5) * 2.0
    made = table("h" * 40 + "o" * 40, [[*verdicts[0], *verdicts[0]]] * 2)
    paired = ScoreTable(made.checkpoints, made.items.where(np.ones(80, dtype=bool)), made.failed, made.axes)
    paired.items.group[:] = np.tile(np.arange(40), 2)
    drawn = resample(paired, 1)
    harmful = metric_draws(paired, METRICS["harmful_refusal_rate"], drawn)
    refused = metric_draws(paired, METRICS["over_refusal_rate"], drawn)
    assert (harmful[:, 0] == harmful[:, 1]).all()
    assert np.corrcoef(harmful[:, 0], refused[:, 0])[0, 1] > 0.99
    assert collect(paired, METRICS["balance"]).strata.size == 40


@pytest.mark.parametrize("name", ["safety", "violation_rate", "refusal_f1", "refusal_recall"])
@pytest.mark.parametrize("group", [1, 10])
def test_draws_are_as_wide_as_the_interval(name: str, group: int) -> None:
    """The ends of the two-sided interval have 2.5 % of the draws beyond them, in groups of ten alike as well."""
    bad = np.random.default_rng(3).random(60 // group) < 0.3
    score = np.where(np.repeat(bad, group), 1.0, 4.0)
    made = table("h" * 60, [((score > 3) * 2.0).tolist()], reference=[2] * 60, safety=[score.tolist()])
    made.items.group[:] = np.arange(60) // group
    (found,) = measure(made, METRICS[name])
    low, high = np.quantile(metric_draws(made, METRICS[name], resample(made, 1)), [0.025, 0.975])
    assert (low, high) == (pytest.approx(found.low, abs=0.01), pytest.approx(found.high, abs=0.01))


@pytest.mark.parametrize(("refused", "of"), [(300, 300), (270, 300), (10, 10)])
def test_draws_of_a_balance_are_as_wide_as_its_interval(refused: int, of: int) -> None:
    """Ten borderline prompts, all answered, are unsure however many harmful ones are refused."""
    made = table("h" * of + "o" * 10, [[2] * refused + [0] * (of - refused + 10)])
    (found,) = measure(made, METRICS["balance"])
    low, high = np.quantile(metric_draws(made, METRICS["balance"], resample(made, 1)), [0.025, 0.975])
    assert low == pytest.approx(found.low, abs=0.02)
    assert high == pytest.approx(found.high, abs=0.02)


def test_a_point_without_a_value_is_never_chosen() -> None:
    made = table("oooo", [[0, 0, 2, 2], [NAN] * 4])
    found = standings(made, "min over_refusal_rate")
    assert [s.p_best for s in found.points.values()] == [1.0, 0.0]
    assert standings(made, "over_refusal_rate <= 100%; min over_refusal_rate").points["c1"].meets == (0.0,)
