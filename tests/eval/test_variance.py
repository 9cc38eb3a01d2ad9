"""Variance parts: by hand, against the expected mean squares, and recovered from simulated designs."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from eval.metrics import METRICS
from eval.variance import Parts, seed_spread, split_variance, spread_of
from tests.eval.test_metrics import table

TRUTH = Parts(mask=0.3, prompt=0.6, mask_by_prompt=0.2, sample=0.4, judge=0.1)


def drawn(
    rng: np.random.Generator, a: int, p: int, s: int, r: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Scores with the true parts and a mean of 3."""
    shapes = ((a, 1, 1, 1), (1, p, 1, 1), (a, p, 1, 1), (a, p, s, 1), (a, p, s, r))
    parts = [variance**0.5 * rng.normal(size=shape) for variance, shape in zip(astuple(TRUTH), shapes, strict=True)]
    return 3.0 + parts[0] + parts[1] + parts[2] + parts[3] + parts[4]


def test_the_judges_part_by_hand() -> None:
    """Two judgements each of two answers, (1, 3) and (4, 4): half squared differences 2 and 0, mean 1."""
    parts = split_variance(np.array([[[[1.0, 3.0], [4.0, 4.0]]]]))
    assert parts.judge == 1.0
    # pairs across the answers: differences 3, 3, 1, 1: half squares 4.5, 4.5, .5, .5: mean 2.5
    assert parts.sample == 1.5
    assert (parts.mask, parts.prompt, parts.mask_by_prompt) == (None, None, None)


def test_a_full_design_gives_the_expected_mean_squares() -> None:
    """The analysis of variance of a crossed design, solved for its parts."""
    a, p, s, r = 4, 6, 3, 2
    y = drawn(np.random.default_rng(1), a, p, s, r)
    cell, mask, prompt, mean = y.mean((2, 3)), y.mean((1, 2, 3)), y.mean((0, 2, 3)), y.mean()
    judge = ((y - y.mean(3, keepdims=True)) ** 2).sum() / (a * p * s * (r - 1))
    sample = r * ((y.mean(3) - cell[:, :, None]) ** 2).sum() / (a * p * (s - 1))
    both = s * r * ((cell - mask[:, None] - prompt + mean) ** 2).sum() / ((a - 1) * (p - 1))
    masks = p * s * r * ((mask - mean) ** 2).sum() / (a - 1)
    prompts = a * s * r * ((prompt - mean) ** 2).sum() / (p - 1)
    parts = split_variance(y)
    assert parts.judge == pytest.approx(judge)
    assert parts.sample == pytest.approx((sample - judge) / r)
    assert parts.mask_by_prompt == pytest.approx((both - sample) / (s * r))
    assert parts.mask == pytest.approx((masks - both) / (p * s * r))
    assert parts.prompt == pytest.approx((prompts - both) / (a * s * r))


def test_each_part_is_recovered() -> None:
    """400 designs of 6 masks, 30 prompts, 3 samples, 2 judgements, a tenth missing: each mean within 20 %."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        scores = drawn(rng, 6, 30, 3, 2)
        found.append(astuple(split_variance(np.where(rng.random(scores.shape) < 0.1, np.nan, scores))))
    assert np.mean(found, axis=0) == pytest.approx(np.array(astuple(TRUTH)), rel=0.2)


def test_what_a_design_cannot_tell_is_none() -> None:
    one_judgement = split_variance(drawn(np.random.default_rng(0), 3, 5, 2, 1))
    assert one_judgement.judge is None
    assert one_judgement.sample is None
    assert one_judgement.mask is not None
    assert astuple(split_variance(np.full((2, 2, 2, 2), np.nan))) == (None,) * 5


def test_two_seeds_are_not_enough() -> None:
    spread = seed_spread(np.array([0.2, 0.4]), np.zeros((2, 3)))
    assert (spread.sd, spread.low) == (None, None)
    assert spread.text == "not estimated: 2 mask seeds, at least 3 needed"


def test_seeds_without_a_value_do_not_count() -> None:
    nan = float("nan")
    spread = seed_spread(np.array([0.2, nan, 0.4]), np.zeros((3, 3)))
    assert spread.text == "not estimated: 2 mask seeds, at least 3 needed"
    assert spread.mean == pytest.approx(0.3)
    assert seed_spread(np.array([0.2, nan, 0.4, 0.6]), np.zeros((4, 3))).sd == pytest.approx(0.2)
    assert seed_spread(np.full(3, nan), np.zeros((3, 3))).seeds == 0


def test_seeds_beyond_what_prompts_explain() -> None:
    """Values .2, .4, .6: variance .04. Pulls that differ by .1 in one group from seed to seed explain .01 of it."""
    pull = np.array([[0.1, 0.0], [0.0, 0.0], [-0.1, 0.0]])
    spread = seed_spread(np.array([0.2, 0.4, 0.6]), pull)
    assert spread.sd == pytest.approx(0.03**0.5)
    assert spread.mean == pytest.approx(0.4)
    assert spread.high == pytest.approx(0.4 + 4.303 * 0.1, abs=1e-3)  # sd / sqrt(3) = .1, t with 2 degrees


def test_seeds_that_answer_alike_have_no_spread() -> None:
    """Three seeds with the same answers: nothing between them; the prompts' error stays."""
    spread = spread_of(table("oooo", [[2, 0, 0, 0]] * 3), METRICS["over_refusal_rate"], ["c0", "c1", "c2"])
    assert spread.sd == 0.0
    assert spread.low is not None
    assert spread.low < 0.25
