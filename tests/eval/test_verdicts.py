"""Majorities, flips and prompts that go to and fro, on tables small enough to count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.baseline import against_baseline, holm
from eval.metrics import METRICS
from eval.paired import contrast
from eval.power import WARNING, more_prompts
from eval.scores import ScoreTable
from eval.verdicts import flips, verdicts, wavering
from tests.eval.test_metrics import NAN, table

RATE = METRICS["over_refusal_rate"]


def repeated(kinds: str, refusal: list[list[list[float]]]) -> ScoreTable:
    """Several answers to each prompt: refusal (C, I, S)."""
    values = np.array(refusal)
    made = table(kinds, values[:, :, 0].tolist())
    axes = {axis: np.repeat(v, values.shape[2], axis=2) for axis, v in made.axes.items()} | {"refusal": values}
    return replace(made, axes=axes, failed=np.isnan(values))


def test_the_majority_of_answers_decides() -> None:
    """2 of 3 refuse; 1 of 2 scored: no majority; none of 3; nothing scored; a harmful prompt is not looked at."""
    made = repeated("ooooh", [[[2, 1, 0], [2, 0, NAN], [0, 0, 0], [NAN] * 3, [2, 2, 2]]])
    assert verdicts(made, RATE)[0] == pytest.approx([1, NAN, 0, NAN, NAN], nan_ok=True)


def test_flips_by_hand() -> None:
    """Ten prompts better in c0, two worse, three the same, one tie: p = 2 (1 + 12 + 66) / 4096."""
    first = [[0, 0]] * 10 + [[2, 2]] * 2 + [[0, 0]] * 3 + [[0, 2]]
    second = [[2, 2]] * 10 + [[0, 0]] * 2 + [[0, 0]] * 3 + [[2, 2]]
    found = flips(repeated("o" * 16, [first, second]), RATE, "c0", "c1")
    assert found is not None
    assert (found.better, found.worse, found.same) == (10, 2, 3)
    assert found.p == pytest.approx(158 / 4096)


def test_only_rates_flip() -> None:
    made = table("hh", [[2, 2]], safety=[[5, 5]])
    assert flips(made, METRICS["safety"], "c0", "c0") is None
    equal = flips(made, METRICS["harmful_refusal_rate"], "c0", "c0")
    assert equal is not None
    assert (equal.same, equal.p) == (2, 1.0)


def test_wavering_by_hand() -> None:
    """Along five ratios: 0 1 1 1 1 does not waver, 0 1 0 0 0 once, 0 1 0 1 0 three times, 0 - 1 1 1 does not."""
    made = table("oooo", [[0, 0, 0, 0], [2, 2, 2, NAN], [2, 0, 0, 2], [2, 0, 2, 2], [2, 0, 0, 2]])
    found = wavering(made, RATE, [[name] for name in made.checkpoints])
    assert found.items.tolist() == [2, 1]
    assert found.changes.tolist() == [3, 1]
    assert found.verdicts.tolist() == [[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]]


def test_mask_seeds_vote_together() -> None:
    """Two of three seeds refuse at the second ratio, nobody at the first and third: one change too many."""
    made = table("o", [[0], [2], [2], [0], [0]])
    found = wavering(made, RATE, [["c0"], ["c1", "c2", "c3"], ["c4"]])
    assert found.verdicts.tolist() == [[0, 1, 0]]


def test_holm_by_hand() -> None:
    """.01 x 3, then .03 x 2, then .04 but not below .06."""
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([])).size == 0


def test_all_points_against_one() -> None:
    """30 prompts: c1 refuses 12 that the baseline answers, c2 one: c1 differs, c2 does not, c0 is the baseline."""
    made = table("o" * 30, [[0] * 30, [2] * 12 + [0] * 18, [2] + [0] * 29])
    same, far, near = against_baseline(made, RATE, made.checkpoints, "c0")
    assert (same.difference.value, same.p) == (0.0, 1.0)
    assert far.difference.value == pytest.approx(0.4)
    assert far.p < 0.01
    assert near.p > 0.3
    assert far.flips is not None
    assert (far.flips.better, far.flips.worse) == (0, 12)
    assert far.flips.p == pytest.approx(3 * 2 / 2**12)


def test_prompts_needed_by_hand() -> None:
    """40 of 400 differ, 24 one way and 16 the other: mean .02, variance .1 - .0004 a prompt.

    (1.960 + 0.842)^2 = 7.849; 7.849 x .0996 / .02^2 = 1954, a little more for the cautious standard error.
    """
    made = table("o" * 400, [[2] * 16 + [0] * 384, [0] * 16 + [2] * 24 + [0] * 360])
    found = more_prompts(made, RATE, "c0", "c1")
    assert found.difference == pytest.approx(0.02)
    assert found.needed == pytest.approx(1954 * 1.03, rel=0.02)
    assert found.more == (found.needed or 0) - 400
    assert WARNING in found.text
    assert "if the true difference is the observed" in found.text
    twice = more_prompts(made, RATE, "c0", "c1", difference=0.04).needed
    assert twice == pytest.approx((found.needed or 0) / 4, abs=1)


def test_a_margin_for_all_points_asks_for_more_prompts() -> None:
    """The pair's own margin is z(.975) = 1.960 errors. Of 2.5: (2.5 + .842)^2 / (1.960 + .842)^2 = 1.423."""
    made = table("o" * 400, [[2] * 16 + [0] * 384, [0] * 16 + [2] * 24 + [0] * 360])
    error = float(contrast(made, RATE, 1).error[0])
    alone = more_prompts(made, RATE, "c0", "c1").needed
    together = more_prompts(made, RATE, "c0", "c1", margin=2.5 * error)
    assert together.needed == pytest.approx((alone or 0) * 1.423, rel=1e-3)
    assert together.brief == f"{together.more} more prompts if that is true"


def test_a_point_that_stays_in_the_set_needs_more_prompts() -> None:
    """2.9 standard errors apart, chance making 3 among all points: the pair alone would need none."""
    made = table("o" * 400, [[2] * 16 + [0] * 384, [0] * 16 + [2] * 24 + [0] * 360])
    error = float(contrast(made, RATE, 1).error[0])
    assert more_prompts(made, RATE, "c0", "c1", 2.9 * error).more == 0
    # 400 (3.842 / 2.9)^2 = 702.0
    assert more_prompts(made, RATE, "c0", "c1", 2.9 * error, 3.0 * error).more == pytest.approx(302, abs=1)


def test_without_common_prompts_there_is_no_forecast() -> None:
    made = table("oooo", [[0, 0, NAN, NAN], [NAN, NAN, 2, 2]])
    assert more_prompts(made, RATE, "c0", "c1", 0.0, 1.0).brief == "no common scored prompts"
    assert "no number" in more_prompts(table("oo", [[0, 2], [2, 0]]), RATE, "c0", "c1").brief


def test_no_number_tells_equal_points_apart() -> None:
    found = more_prompts(table("oo", [[0, 2], [2, 0]]), RATE, "c0", "c1")
    assert (found.needed, found.more) == (None, None)
    assert "no number of prompts" in found.text
    assert more_prompts(table("hh", [[2, 2]] * 2), RATE, "c0", "c1").text == "no common scored prompts"
