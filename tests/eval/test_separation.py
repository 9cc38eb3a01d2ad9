"""The inseparable set: by hand, in degenerate cases, and that it holds the best point as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtr

from eval.baseline import against_baseline
from eval.draws import centred, jackknife
from eval.metrics import METRICS
from eval.paired import contrast
from eval.scores import ScoreTable
from eval.separation import Separation, separate
from eval.statistics import ratio_mean
from tests.eval.test_metrics import NAN, table

RATE = METRICS["over_refusal_rate"]


def separated(made: ScoreTable, *names: str) -> Separation:
    found = separate(made, RATE, names or made.checkpoints, seed=1)
    assert found is not None
    return found


def test_a_contrast_by_hand() -> None:
    """c1 refuses 4 of 10 that c0 answers: .4 ahead; without one of ten the mean moves by .6 / 9 or -.4 / 9.

    Variance: 9 / 10 times the sum of squares, 9 / 10 x (4 x .36 + 6 x .16) / 81 = .02667, and one group more of .6.
    """
    made = table("o" * 10, [[0] * 10, [2] * 4 + [0] * 6])
    pair = contrast(made, RATE, 1)
    assert pair.difference == pytest.approx([0.4, 0.0])
    assert (pair.pull[0] ** 2).sum() == pytest.approx(0.02667, abs=1e-5)
    assert pair.error[0] == pytest.approx((0.02667 + 0.9 * 0.36 / 81) ** 0.5, abs=1e-5)
    assert pair.error[1] == pytest.approx(0.1)  # equal answers: one group of ten might differ
    assert pair.items.tolist() == [10, 10]


def test_strata_vary_apart() -> None:
    """Values 0, 2 in one set and 8 in another: the first two add (2/1) (1 + 1) / 9 = 4/9 to their mean's variance.

    The lone 8 is 14/3 from the mean of all three: (3/2) (14/3)^2 / 9. Two sets of one are one set.
    """
    values = np.array([[[0.0, 2.0, 8.0]], [[1.0, 1.0, 1.0]]])
    pull = centred(jackknife(ratio_mean, values), np.array([0, 0, 1]))
    assert (pull[0] ** 2).sum() == pytest.approx(4 / 9 + 1.5 * (14 / 9) ** 2)
    apart = centred(jackknife(ratio_mean, values), np.array([0, 1, 2]))
    assert apart == pytest.approx(centred(jackknife(ratio_mean, values), np.array([0, 0, 0])))


def test_only_common_items_count() -> None:
    made = table("oooo", [[2, 2, NAN, 0], [0, NAN, 2, 0]])
    pair = contrast(made, RATE, 0)
    assert pair.difference.tolist() == [0.0, 0.5]  # c1 is better: it answers the first one
    assert pair.items.tolist() == [3, 2]


def test_prompts_without_scores_of_both_add_no_certainty() -> None:
    """3 of 100 prompts have scores of both, all 1 apart on 1-5: one group of three may differ by 4."""
    made = table("b" * 100, [[0] * 100, [0] * 3 + [NAN] * 97], fluency=[[5] * 100, [4] * 3 + [NAN] * 97])
    pair = contrast(made, METRICS["fluency"], 0)
    assert pair.filled.tolist() == [100, 3]
    assert pair.error[1] == pytest.approx(4 / 3)
    (found,) = against_baseline(made, METRICS["fluency"], ["c1"], "c0")
    assert found.p == pytest.approx(2 * stdtr(2, -0.75))


def test_many_prompts_of_one_kind_do_not_stand_for_another() -> None:
    """Two borderline prompts that both differ: .5 ahead in balance, and one of the two may be otherwise: .5 too."""
    refused = [2.0] * 270 + [0.0] * 30
    pair = contrast(table("h" * 300 + "oo", [[*refused, 0, 0], [*refused, 2, 2]]), METRICS["balance"], 1)
    assert pair.filled.tolist() == [2, 2]
    assert (pair.difference[0], pair.error[0]) == pytest.approx((0.5, 0.5))
    noisy = contrast(table("h" * 300 + "oo", [[*refused, 0, 0], [*refused[::-1], 2, 2]]), METRICS["balance"], 1)
    assert noisy.error[0] > 0.25


def test_gaps_of_others_change_nothing_for_a_pair() -> None:
    """The slow way, with a third point that has gaps, gives the same as the fast one without it."""
    rng = np.random.default_rng(2)
    refused = np.where(rng.random((2, 50)) < 0.4, 2.0, 0.0).tolist()
    both = contrast(table("o" * 50, refused), RATE, 0)
    three = contrast(table("o" * 50, [*refused, [NAN] * 25 + [0.0] * 25]), RATE, 0)
    assert three.difference[:2] == pytest.approx(both.difference)
    assert three.error[:2] == pytest.approx(both.error)


def test_points_far_behind_leave_the_set() -> None:
    made = table("o" * 60, [[0] * 60, [2] * 2 + [0] * 58, [2] * 40 + [0] * 20])
    found = separated(made)
    assert found.best == "c0"
    assert found.inseparable == ("c0", "c1")
    assert found.points["c2"].difference == pytest.approx(2 / 3)


def test_equal_points_stay_together_and_the_middle_is_best() -> None:
    found = separated(table("o" * 20, [[0] * 20] * 3))
    assert (found.best, found.inseparable) == ("c1", ("c0", "c1", "c2"))


def test_no_variance_does_not_hide_a_difference() -> None:
    """One answers everything, one nothing: no group differs from another, and they are far apart."""
    assert separated(table("o" * 20, [[0] * 20, [2] * 20])).inseparable == ("c0",)


def test_no_variance_is_no_certainty() -> None:
    """One group more that differs by the whole scale: 1 / 8, times the 95 % quantile of Student's t_7, 1.895."""
    assert separated(table("o" * 8, [[0] * 8, [2] * 8])).points["c1"].margin == pytest.approx(1.895 / 8, abs=1e-4)
    assert separated(table("oo", [[0] * 2, [2] * 2])).inseparable == ("c0", "c1")


def test_a_point_far_behind_is_out_as_if_its_own_margin_were_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rates = np.array([0.1, 0.12, 0.3, 0.5, 0.9])
    made = table("o" * 200, ((rng.random((5, 200)) < rates[:, None]) * 2.0).tolist())
    quick = separated(made)
    monkeypatch.setattr("eval.separation.FARTHEST", np.inf)
    exact = separated(made)
    assert quick.inseparable == exact.inseparable
    for name, behind in exact.points.items():
        assert quick.points[name].difference == pytest.approx(behind.difference)
        assert behind.margin - 1e-12 <= quick.points[name].margin <= behind.difference or quick.points[name] == behind
    assert quick.points["c4"].margin > exact.points["c4"].margin


def test_few_groups_tell_nothing() -> None:
    assert separated(table("oo", [[0, 0], [0, 2]])).inseparable == ("c0", "c1")


def test_single_and_missing_points() -> None:
    made = table("ooo", [[0, 0, 2], [NAN] * 3])
    assert separated(made, "c0").inseparable == ("c0",)
    assert separated(made).inseparable == ("c0",)
    assert separate(made, RATE, ["c1"], seed=1) is None


def test_the_set_holds_the_best_point() -> None:
    """200 studies of five points that differ by a hair, 40 groups of 2: held in 95 % at least, 92 % by chance."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        prompt = rng.normal(size=(1, 80))
        yes = 0.8**0.5 * prompt + 0.2**0.5 * rng.normal(size=(5, 80)) < -0.8
        made = table("o" * 80, (yes * 2.0).tolist())
        made.items.group[:] = np.arange(80) // 2
        found = separate(made, RATE, made.checkpoints, seed=1)
        held += found is not None and "c3" in found.inseparable
    assert held / 200 >= 0.92
