"""Slices of a checkpoint's prompts against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from eval.measure import measure
from eval.metrics import METRICS
from eval.slices import fisher, sign_test, slices_against, slices_against_rest, worth
from tests.eval.test_metrics import NAN, table

RATE = METRICS["over_refusal_rate"]


def test_fisher_by_hand() -> None:
    """C(6,3) = 20 ways to place three failures: one has all inside; 9 + 1 have two or more inside. Nobody inside: 1."""
    failed, prompts, rest_failed, rest_prompts = np.array([[3, 3, 0, 3], [2, 3, 1, 3], [0, 3, 3, 3], [0, 0, 2, 5]]).T
    assert fisher(failed, prompts, rest_failed, rest_prompts) == pytest.approx([1 / 20, 10 / 20, 1, 1])


def test_the_sign_test_by_hand() -> None:
    """5 of 5: 1/32, equal groups do not count; 3 above and 1 below: (4 + 1) / 16; none: 1."""
    rows = np.array([[1.0, 0.5, 1, 1, 1, 0, 0], [1, 1, 1, -1, 0, 0, 0], [0] * 7])
    assert sign_test(rows) == pytest.approx([1 / 32, 5 / 16, 1])


def test_what_groups_are_worth() -> None:
    """Single prompts count each; of four groups of five alike, half of them failing, three are left.

    p = 1/2, the variance between them 4 x (2.5 / 20)^2 x 4/3 = 1/12; 1/4 over 1/12 is 3. Of two it is 1. Where none
    fails, a group counts once.
    """
    assert worth(np.array([[1.0, 0, 0, 1]]), np.ones((1, 4))) == [4]
    failed = np.array([[5.0, 5, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    prompts = np.array([[5.0, 5, 5, 5], [5, 5, 0, 0], [5, 5, 5, 5]])
    assert worth(failed, prompts) == pytest.approx([3, 1, 4])


def test_a_slice_against_the_rest_by_hand() -> None:
    """3 of 3 against 0 of 3: p 1/20, over two slices 1/10; the other way round it is 1."""
    made = table("oooooo", [[2, 2, 2, 0, 0, 0]])
    first = np.arange(6) < 3
    worse, better = slices_against_rest(made, RATE, "c0", [first, ~first])
    assert (worse.rate.value, worse.other.value, worse.rate.n, worse.other.n) == (1.0, 0.0, 3, 3)
    assert (worse.single_p, worse.p) == (pytest.approx(1 / 20), pytest.approx(1 / 10))
    assert (better.single_p, better.p) == (1.0, 1.0)
    assert worse.rate.low is not None
    assert 0 < worse.rate.low < 1


def test_prompts_of_one_group_are_no_independent_evidence() -> None:
    """20 prompts, the first ten refused: alone p is 1 of C(20,10); in groups of five the sides have 2 groups each."""
    made = table("o" * 20, [[2] * 10 + [0] * 10])
    first = np.arange(20) < 10
    [alone] = slices_against_rest(made, RATE, "c0", [first])
    grouped = replace(made, items=replace(made.items, group=np.arange(20) // 5))
    [together] = slices_against_rest(grouped, RATE, "c0", [first])
    assert alone.single_p == pytest.approx(1 / 184756)
    assert together.single_p == pytest.approx(1 / 6)  # 2 of 2 against 0 of 2
    assert together.rate.value == alone.rate.value == 1.0


def test_a_slice_against_a_baseline_by_hand() -> None:
    """5 prompts refused that the baseline answers: 1/32; one that the baseline has no score for is left out."""
    made = table("oooooooo", [[2, 2, 2, 2, 2, 2, 0, 0], [0, 0, 0, 0, 0, NAN, 0, 2]])
    first = np.arange(8) < 6
    inside, outside = slices_against(made, RATE, "c0", "c1", [first, ~first])
    assert (inside.rate.value, inside.other.value, inside.rate.n, inside.other.n) == (1.0, 0.0, 5, 5)
    assert (inside.single_p, inside.p) == (pytest.approx(1 / 32), pytest.approx(2 / 32))
    assert outside.single_p == 1.0  # the baseline is the worse one


def test_other_kinds_are_not_looked_at() -> None:
    made = table("oohh", [[2, 0, 2, 2]])
    [found] = slices_against_rest(made, RATE, "c0", [np.array([True, False, True, False])])
    assert (found.rate.n, found.other.n) == (1, 1)


def test_rates_are_those_of_the_metric_on_these_prompts_alone() -> None:
    """Groups, several answers and unscored ones: each slice as `measure` has it."""
    rng = np.random.default_rng(3)
    values = rng.choice([0.0, 1.0, 2.0, NAN], size=(2, 40, 3), p=[0.5, 0.2, 0.2, 0.1])
    flat = table("o" * 40, values[:, :, 0].tolist())
    axes = {axis: np.repeat(v, 3, axis=2) for axis, v in flat.axes.items()} | {"refusal": values}
    made = replace(flat, axes=axes, failed=np.isnan(values), items=replace(flat.items, group=np.arange(40) // 3))
    masks = [rng.random(40) < share for share in (0.2, 0.5, 0.9)]
    found = slices_against_rest(made, RATE, "c1", masks)
    for mask, one in zip(masks, found, strict=True):
        for side, estimate in ((mask, one.rate), (~mask, one.other)):
            wanted = measure(made.where(side).of(["c1"]), RATE)[0]
            assert asdict(estimate) == pytest.approx(asdict(wanted))


def test_no_slices_are_no_finds() -> None:
    assert slices_against_rest(table("oo", [[2, 0]]), RATE, "c0", []) == []


def test_finds_that_are_none_are_rarer_than_promised_and_true_ones_are_found() -> None:
    """150 studies of 300 prompts in groups of five that go together, 14 slices: 5 % of 150 are 7.5.

    The groups' chances are beta-distributed around .1 with correlation .3. Where one slice fails in 30 points more, it
    stands out in most studies.
    """
    rng = np.random.default_rng(5)
    group = np.arange(300) // 5
    made = table("o" * 300, [[0.0] * 300])
    made = replace(made, items=replace(made.items, group=group))
    alarms = found = 0
    for _ in range(150):
        masks = [group % 8 == place for place in range(8)] + [rng.random(300) < share for share in (0.05, 0.1, 0.3) * 2]
        chance = rng.beta(0.1 * 7 / 3, 0.9 * 7 / 3, 60)[group]
        for raised, count in ((chance, 0), (np.where(masks[0], np.minimum(1, chance + 0.3), chance), 1)):
            refusal = 2.0 * (rng.random((1, 300, 1)) < raised[None, :, None])
            rates = slices_against_rest(replace(made, axes=made.axes | {"refusal": refusal}), RATE, "c0", masks)
            alarms += count == 0 and min(one.p for one in rates) < 0.05
            found += count == 1 and rates[0].p < 0.05
    assert alarms <= 7
    assert found > 60
