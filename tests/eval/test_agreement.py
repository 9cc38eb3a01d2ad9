"""Agreement against numbers worked out by hand and against published examples; its intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from eval.agreement import (
    NOBODY,
    ONE_CLASS,
    Agreement,
    Clusters,
    class_rates,
    confusion,
    detection_f1,
    interval_alpha,
    kappa_gain,
    nominal_alpha,
    nominal_kappa,
    ordinal_alpha,
    quadratic_kappa,
)
from eval.statistics import Floats, wilson

NAN = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: 4 observers, 12 units, 7 cells missing
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def singles(n: int, seed: int = 0) -> Clusters:
    """Every answer in a group of its own."""
    return Clusters(np.arange(n, dtype=np.int64), seed)


def pairs(counts: list[list[int]]) -> tuple[Floats, Floats]:
    """Two raters' classes from a table of counts."""
    table = np.array(counts)
    cells = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return np.array([i for i, _ in cells], dtype=float), np.array([j for _, j in cells], dtype=float)


def test_kappa_by_hand() -> None:
    """35 of 50 alike, .7; by chance (25 30 + 25 20) / 2500 = .5; (.7 - .5) / (1 - .5) = .4."""
    first, second = pairs([[20, 5], [10, 15]])
    found = nominal_kappa(first, second, 2, singles(50))
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    assert found.low is not None
    assert found.high is not None
    # asymptotic standard error sqrt(.7 .3 / (50 .25)) = .13
    assert found.low == pytest.approx(0.4 - 0.25, abs=0.04)
    assert found.high == pytest.approx(0.4 + 0.25, abs=0.04)


def test_missing_ratings_are_left_out() -> None:
    first, second = pairs([[20, 5], [10, 15]])
    more = np.array([0.0, NAN]), np.array([NAN, 1.0])
    found = nominal_kappa(np.append(first, more[0]), np.append(second, more[1]), 2, singles(52))
    assert (found.n, found.value) == (50, pytest.approx(0.4))


def test_an_answer_of_weight_two_counts_as_two() -> None:
    first, second = pairs([[20, 5], [10, 15]])
    weight = np.where(first == second, 2.0, 1.0)
    doubled, partner = pairs([[40, 5], [10, 30]])
    weighted = nominal_kappa(first, second, 2, singles(50), weight)
    assert weighted.value == pytest.approx(nominal_kappa(doubled, partner, 2, singles(85)).value)


def test_quadratic_kappa_by_hand() -> None:
    """1, 2, 3 against 1, 2, 2: D_o = 1/3, D_e = 2/3 + 2/9 + (1/3)^2 = 1."""
    found = quadratic_kappa(np.array([1.0, 2, 3]), np.array([1.0, 2, 2]), 1, 5, singles(3))
    assert found.value == pytest.approx(2 / 3)


def test_quadratic_kappa_is_the_one_with_a_table() -> None:
    """On whole numbers the moments give 1 - sum w o / sum w e with w = (i - j)^2."""
    table = np.array([[9, 3, 1], [2, 8, 4], [0, 2, 11]])
    first, second = pairs(table.tolist())
    w = (np.arange(3)[:, None] - np.arange(3)) ** 2
    o = table / table.sum()
    e = o.sum(axis=1)[:, None] * o.sum(axis=0)
    found = quadratic_kappa(first + 1, second + 1, 1, 5, singles(first.size))
    assert found.value == pytest.approx(1 - (w * o).sum() / (w * e).sum())


def test_alpha_is_the_published_one() -> None:
    """Nominal .743, ordinal .815, interval .849 on 11 units with two values or more."""
    clusters = singles(12)
    assert nominal_alpha(PUBLISHED - 1, 5, clusters).value == pytest.approx(0.743, abs=5e-4)
    assert ordinal_alpha(PUBLISHED - 1, 5, clusters).value == pytest.approx(0.815, abs=5e-4)
    interval = interval_alpha(PUBLISHED, 1, 5, clusters)
    assert interval.value == pytest.approx(0.849, abs=5e-4)
    assert interval.n == 11


def test_alpha_with_weights_by_hand() -> None:
    """0, 0 with weight 3 and 0, 1 with weight 1 stand for 1.5 and .5 answers: 3.5 ratings of 0, .5 of 1.

    D_o = 2 x .5 / 4, D_e = 2 x 3.5 x .5 / (4 x 3), alpha 1 - 6 / 7. Equal weights change nothing.
    """
    ratings = np.array([[0.0, 0.0], [0.0, 1.0]])
    weight = np.array([3.0, 1.0])
    assert nominal_alpha(ratings, 2, singles(2), weight).value == pytest.approx(1 / 7)
    assert interval_alpha(ratings, 0, 1, singles(2), weight).value == pytest.approx(1 / 7)
    plain = interval_alpha(PUBLISHED, 1, 5, singles(PUBLISHED.shape[1]))
    assert interval_alpha(PUBLISHED, 1, 5, singles(PUBLISHED.shape[1]), np.full(PUBLISHED.shape[1], 7.0)) == plain


def test_answers_of_unequal_weight_are_worth_fewer() -> None:
    """4 of weight 20, all found, and 36 of weight 1, half found: a share of 98/116 of 116^2 / 1636 = 8.2 answers.

    The four happen to agree; that is no evidence that such ones always do.
    """
    weight = np.repeat([20.0, 1.0], [4, 36])
    found = np.repeat([1.0, 0.0], [22, 18])
    _, recall = class_rates(found, np.ones(40), 2, singles(40), weight)
    own = wilson(np.array([98 / 116]), np.array([116**2 / 1636]), np.array([39.0]))
    assert (recall[1].value, recall[1].n) == (pytest.approx(98 / 116), 40)
    assert (recall[1].low, recall[1].high) == (pytest.approx(own.low[0]), pytest.approx(own.high[0]))


def test_alpha_of_two_raters_without_gaps_by_hand() -> None:
    """Krippendorff 2011, section A: ten units, 0 1 0 0 0 0 0 0 1 0 against 1 1 1 0 0 1 0 0 0 0: .095."""
    ratings = np.array([[0.0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
    assert nominal_alpha(ratings, 2, singles(10)).value == pytest.approx(0.095, abs=5e-4)


def test_degenerate_ratings_give_a_reason_and_no_number() -> None:
    same, none = np.zeros(4), np.full(4, NAN)
    clusters = singles(4)
    for found in (
        nominal_kappa(same, same, 3, clusters),
        quadratic_kappa(same + 3, same + 3, 1, 5, clusters),
        nominal_alpha(np.stack([same, same]), 3, clusters),
        ordinal_alpha(np.stack([same, same]), 3, clusters),
        interval_alpha(np.stack([same + 2, same + 2]), 1, 5, clusters),
        kappa_gain(same, same, same, 3, clusters),
    ):
        assert found == Agreement(None, None, None, 4, ONE_CLASS)
    for found in (
        nominal_kappa(same, none, 3, clusters),
        quadratic_kappa(none, same, 1, 5, clusters),
        nominal_alpha(np.stack([same, none]), 3, clusters),
        interval_alpha(np.stack([same, none]), 1, 5, clusters),
        kappa_gain(none, same, same, 3, clusters),
    ):
        assert found == Agreement(None, None, None, 0, NOBODY)
    assert nominal_kappa(np.zeros(0), np.zeros(0), 2, Clusters.of([], 0)).note == NOBODY


def test_perfect_agreement_is_no_certainty() -> None:
    """30 of 30: Wilson's bound for 0 of 30 with t at 29 degrees is .122; over D_e = .5 that is .245."""
    classes = np.array([0.0, 1] * 15)
    found = nominal_kappa(classes, classes, 2, singles(30))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 0.245, abs=2e-3)


def test_copies_within_a_group_add_nothing() -> None:
    first, second = pairs([[20, 5], [10, 15]])
    once = nominal_kappa(first, second, 2, singles(50))
    five = Clusters(np.repeat(np.arange(50, dtype=np.int64), 5), 0)
    many = nominal_kappa(np.repeat(first, 5), np.repeat(second, 5), 2, five)
    assert (many.low, many.high) == (pytest.approx(once.low), pytest.approx(once.high))
    apart = nominal_kappa(np.repeat(first, 5), np.repeat(second, 5), 2, singles(250))
    assert apart.low is not None
    assert once.low is not None
    assert apart.low > once.low + 0.05


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = pairs([[20, 5], [10, 15]])
    found = [nominal_kappa(first, second, 2, singles(50, seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_gain_by_hand() -> None:
    """A judge that is always right has kappa 1; the other's table gives .4."""
    truth, other = pairs([[20, 5], [10, 15]])
    found = kappa_gain(truth, other, truth, 2, singles(50))
    assert found.value == pytest.approx(0.6)
    assert found.low is not None
    assert found.low > 0.3
    assert kappa_gain(other, other, truth, 2, singles(50)).value == 0


def test_equal_judges_may_differ_elsewhere() -> None:
    """No draw differs: Wilson's bound for 0 of 50 is .0747, over D_e = .5."""
    truth, other = pairs([[20, 5], [10, 15]])
    found = kappa_gain(other, other, truth, 2, singles(50))
    assert (found.low, found.high) == (pytest.approx(-0.1494, abs=1e-3), pytest.approx(0.1494, abs=1e-3))


def test_confusion_and_rates_by_hand() -> None:
    """Judge says 1 in 25 cases, rightly in 15; labels say 1 in 20: precision 15/25, recall 15/20."""
    judged, truth = pairs([[20, 5], [10, 15]])
    assert confusion(truth, judged, 2).tolist() == [[20.0, 10.0], [5.0, 15.0]]
    precision, recall = class_rates(judged, truth, 2, singles(50))
    assert (precision[1].value, precision[1].n) == (pytest.approx(0.6), 25)
    assert (recall[1].value, recall[1].n) == (pytest.approx(0.75), 20)
    assert recall[1].low == pytest.approx(0.52, abs=0.02)
    never = class_rates(np.zeros(3), np.array([0.0, 1, 1]), 3, singles(3))
    assert never[0][1] == Agreement(None, None, None, 0, "the judge never says it")
    assert never[1][2] == Agreement(None, None, None, 0, "no label says it")


def test_any_refusal_by_hand() -> None:
    """Judge 0 1 2 0, labels 0 2 0 1: TP 1, FP 1, FN 1, F1 = 2/4."""
    found = detection_f1(np.array([0.0, 1, 2, 0]), np.array([0.0, 2, 0, 1]), singles(4))
    assert found.value == pytest.approx(0.5)
    right = detection_f1(np.array([0.0, 2]), np.array([0.0, 1]), singles(2))
    assert right.value == right.high == 1.0
    assert right.low is not None
    assert right.low < 0.6
    assert detection_f1(np.zeros(3), np.zeros(3), singles(3)).value is None


@pytest.mark.parametrize("size", [1, 4])
def test_kappa_intervals_cover(size: int) -> None:
    """Two raters who keep the class with chance .8 and else draw one: kappa is .64; groups share their class."""
    rng = np.random.default_rng(10 + size)
    studies, groups = 150, 60
    clusters = Clusters(np.repeat(np.arange(groups, dtype=np.int64), size), 3)
    covered = 0
    for _ in range(studies):
        truth = np.repeat(rng.integers(2, size=groups), size)
        raters = [np.where(rng.random(truth.size) < 0.8, truth, rng.integers(2, size=truth.size)) for _ in range(2)]
        found = nominal_kappa(raters[0].astype(float), raters[1].astype(float), 2, clusters)
        covered += found.low is not None and found.high is not None and found.low <= 0.64 <= found.high
    assert covered / studies >= 0.9
