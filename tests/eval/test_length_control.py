"""The win rate at equal length: its fit, and what it says where pairs tell little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from benchmarks.pair_intervals import Setting, coverage, simulated
from eval.length_control import fit_level
from eval.measure import measure
from eval.metrics import METRICS
from eval.scores import PAIR, Items, ScoreTable
from eval.statistics import Estimate, Floats

NAN = float("nan")


def estimate(won: Floats, longer: Floats, group: Floats | None = None, failed: Floats | None = None) -> Estimate:
    """Of one checkpoint with a pair per item."""
    count = won.size
    words = np.array(["x"] * count)
    items = Items(
        set_name=words,
        kind=np.array([PAIR] * count),
        top_category=words,
        confirm=np.zeros(count, dtype=bool),
        stratum=np.zeros(count, dtype=np.int64),
        group=np.arange(count) if group is None else group.astype(np.int64),
        reference_refusal=np.full(count, -1),
        weight=np.ones(count),
    )
    lost = np.zeros(count, dtype=bool) if failed is None else failed.astype(bool)
    axes = {"preference": won[None, :, None], "longer": longer[None, :, None]}
    return measure(ScoreTable(("c",), items, lost[None, :, None], axes), METRICS["win_rate_lc"])[0]


def test_the_fit_is_the_maximum_of_its_likelihood() -> None:
    rng = np.random.default_rng(1)
    x, won = rng.uniform(-1, 1, 80), rng.choice([0, 0.5, 1], 80, p=[0.2, 0.3, 0.5])
    weight = rng.uniform(0.5, 2, 80)

    def loss(at: Floats) -> float:
        def told(y: Floats, z: Floats) -> Floats:
            logits = at[0] + at[1] * z
            said: Floats = y * log_expit(logits) + (1 - y) * log_expit(-logits)
            return said

        made_up = told(np.full(2, 0.5), np.array([-1.0, 1.0])).sum() / 2
        return -float((weight * told(won, x)).sum() + made_up)

    best = minimize(loss, np.zeros(2), tol=1e-12).x
    fit = fit_level(won[None], x[None], weight[None])
    assert (fit.level[0], fit.slope[0]) == (pytest.approx(best[0], abs=1e-4), pytest.approx(best[1], abs=1e-4))


def test_length_that_does_not_matter_leaves_the_win_rate_alone() -> None:
    """Each length is won 3 times of 4: 0.75, but for the two made-up ties (0.745 of 64 and 1)."""
    won, longer = np.tile([1.0, 1.0, 1.0, 0.0], 16), np.repeat(np.linspace(-80, 80, 16), 4)
    assert estimate(won, longer).value == pytest.approx((48 + 0.5) / 65, abs=0.002)


def test_a_judge_of_length_alone_sees_no_difference() -> None:
    """All lengths from 50 characters less to 150 more, so 75 % are won."""
    longer = np.arange(-50.0, 151.0)
    found = estimate((np.sign(longer) + 1) / 2, longer)
    assert found.value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.85, 1.0), (0.0, 0.0, 0.15), (0.5, 0.3, 0.7)])
def test_equal_verdicts_are_no_certainty(share: float, low: float, high: float) -> None:
    found = estimate(np.full(60, share), np.linspace(-50, 50, 60))
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert low <= found.low < found.value + 1e-9
    assert found.value - 1e-9 < found.high <= high
    assert found.high - found.low > 0.02


def test_pairs_of_one_group_tell_less() -> None:
    rng = np.random.default_rng(3)
    won, longer = np.repeat(rng.choice([0.0, 1.0], 30), 5), np.tile(np.linspace(-50, 50, 5), 30)
    apart, together = estimate(won, longer), estimate(won, longer, np.repeat(np.arange(30), 5))
    widths = [one.high - one.low for one in (apart, together) if one.high is not None and one.low is not None]
    assert widths[1] > 1.8 * widths[0]


def test_unscored_pairs_are_counted_and_bounded() -> None:
    won = np.array([1.0, 0.0] * 20 + [NAN] * 10)
    found = estimate(won, np.array([5.0, -5.0, -5.0, 5.0] * 10 + [0.0] * 10), failed=np.isnan(won))
    assert (found.n, found.n_unscored, found.value) == (40, 10, pytest.approx(0.5))
    assert found.worst == pytest.approx(0.4, abs=0.01)
    assert found.best == pytest.approx(0.6, abs=0.01)


def test_nothing_scored_is_no_number() -> None:
    found = estimate(np.array([NAN, NAN]), np.array([1.0, NAN]), failed=np.array([1, 0]))
    assert (found.value, found.n, found.n_unscored, found.note) == (None, 0, 1, "no scored item")


def test_equal_lengths_throughout_are_the_plain_win_rate() -> None:
    won = np.array([1.0] * 30 + [0.0] * 10)
    assert estimate(won, np.full(40, 7.0)).value == pytest.approx(float(expit(np.log(3))), abs=0.01)


@pytest.mark.parametrize("setting", [Setting(60, 1, 0.0, 2.0, 0.3), Setting(300, 5, 1.0, 2.0, 0.3)])
def test_intervals_hold_what_they_promise(setting: Setting) -> None:
    found = coverage(setting, 600, np.random.default_rng(4))
    for metric in ("win_rate", "win_rate_lc"):
        assert 0.925 <= found[metric]["coverage"] <= 0.99


def test_a_checkpoints_number_does_not_depend_on_the_others() -> None:
    table = simulated(Setting(60, 5, 1.0, 2.0, 0.3), 5, np.random.default_rng(6))
    together = measure(table, METRICS["win_rate_lc"])
    for place, name in enumerate(table.checkpoints):
        axes = {axis: values[[place]] for axis, values in table.axes.items()}
        alone = ScoreTable((name,), table.items, table.failed[[place]], axes)
        assert measure(alone, METRICS["win_rate_lc"]) == together[place : place + 1], name
