"""The loss of dual tuning against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.unlikelihood import dual_loss, toxic_by_absence, toxic_by_ratio, unlikelihood


def test_a_pair_by_hand() -> None:
    """Vocabulary a, b, c; the policy gives every token (1/2, 1/4, 1/4).

    Chosen a b: -(log 1/2 + log 1/4) / 2 = (log 2 + log 4) / 2 = 1.5 log 2. Rejected b a with U = {a}: -log(1 - 1/2) =
    log 2. With weight 3: 4.5 log 2.
    """
    chosen = torch.log(torch.tensor([[0.5, 0.25]]))
    rejected = torch.log(torch.tensor([[0.25, 0.5]]))
    loss = dual_loss(chosen, torch.tensor([[True, True]]), rejected, torch.tensor([[False, True]]), 3.0, 1000.0)
    assert loss.likelihood.item() == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert loss.unlikelihood.item() == pytest.approx(math.log(2), rel=1e-6)
    assert loss.total.item() == pytest.approx(4.5 * math.log(2), rel=1e-6)


def test_padding_and_the_other_answers_do_not_count() -> None:
    """The second pair: chosen a (log 2), rejected a a with both in U: log 2 each, so log 2 in the mean."""
    half, nothing = math.log(0.5), 0.0
    chosen = torch.tensor([[half, half], [half, nothing]])
    mask = torch.tensor([[True, True], [True, False]])
    rejected = torch.tensor([[half, nothing], [half, half]])
    toxic = torch.tensor([[True, False], [True, True]])
    loss = dual_loss(chosen, mask, rejected, toxic, 1.0, 1000.0)
    assert loss.total.tolist() == pytest.approx([2 * math.log(2)] * 2, rel=1e-6)


@pytest.mark.parametrize("q", [1e-6, 0.1, 0.5, 0.9, 0.99])
def test_below_the_corner_it_is_minus_log_of_the_rest(q: float) -> None:
    """Slope in log q: d/dl -log(1 - e^l) = q / (1 - q)."""
    log_q = torch.tensor(math.log(q), requires_grad=True)
    value = unlikelihood(log_q, 1000.0)
    value.backward()
    assert value.item() == pytest.approx(-math.log1p(-q), rel=1e-4)
    assert log_q.grad is not None
    assert log_q.grad.item() == pytest.approx(q / (1 - q), rel=1e-4)


@pytest.mark.parametrize("log_q", [0.0, -1e-8, -1e-6, -1e-4, -0.05, -1.0, -20.0])
@pytest.mark.parametrize("bound", [0.5, 10.0, 1000.0])
def test_the_slope_is_bounded_and_never_dead(log_q: float, bound: float) -> None:
    place = torch.tensor(log_q, requires_grad=True)
    value = unlikelihood(place, bound)
    value.backward()
    exact = math.exp(log_q) / -math.expm1(log_q) if log_q < 0 else math.inf
    assert place.grad is not None
    assert place.grad.item() == pytest.approx(min(exact, bound), rel=1e-3)
    assert math.isfinite(value.item())


def test_it_grows_with_q_and_has_no_step_at_the_corner() -> None:
    """With bound 10 the corner is at q = 10/11."""
    q = torch.linspace(0.5, 1.0, 2001, dtype=torch.float64)
    values = unlikelihood(torch.log(q), 10.0).double()
    steps = values.diff()
    assert (steps > 0).all()
    assert steps.max() < 0.02
    assert steps.diff().abs().max() < 2e-4  # nor has its slope


def test_only_tokens_of_u_get_a_gradient() -> None:
    rejected = torch.log(torch.tensor([[0.5, 0.9, 0.999]])).requires_grad_()
    chosen = torch.log(torch.tensor([[0.5]]))
    toxic = torch.tensor([[False, True, False]])
    dual_loss(chosen, torch.tensor([[True]]), rejected, toxic, 2.0, 1000.0).total.sum().backward()
    assert rejected.grad is not None
    assert rejected.grad[0, [0, 2]].tolist() == [0.0, 0.0]
    assert rejected.grad[0, 1].item() == pytest.approx(2 * 9.0, rel=1e-3)


def test_an_empty_u_adds_exactly_nothing() -> None:
    """Not even where a token outside U is certain, so that its log(1 - q) has no value."""
    rejected = torch.tensor([[0.0, -0.5]], requires_grad=True)
    chosen = torch.log(torch.tensor([[0.5, 0.25]]))
    loss = dual_loss(chosen, torch.tensor([[True, True]]), rejected, torch.zeros(1, 2, dtype=torch.bool), 5.0, 1000.0)
    loss.total.sum().backward()
    assert loss.unlikelihood.item() == 0.0
    assert loss.total.item() == loss.likelihood.item()
    assert rejected.grad is not None
    assert rejected.grad.tolist() == [[0.0, 0.0]]


def test_u_by_ratio() -> None:
    """p / q = 2, 1.1, 1/2; only what is above the threshold counts, so at 1.1 the second does not."""
    log_p = [math.log(p) for p in (0.5, 0.55, 0.25)]
    log_q = [math.log(q) for q in (0.25, 0.5, 0.5)]
    assert toxic_by_ratio(log_p, log_q, 1.2) == [True, False, False]
    assert toxic_by_ratio(log_p, log_q, 1.0) == [True, True, False]


def test_u_by_absence() -> None:
    assert toxic_by_absence([4, 5, 4, 6], [5, 7]) == [True, False, True, True]
