"""The loss of dual tuning, as functions of log-probabilities: likelihood of one answer, unlikelihood of the other.

After PT-ALIGN (arXiv 2502.08657) in the form of CUT (arXiv 2312.14591, equation 9): a token of the toxic answer is made
unlikely only where asking for toxicity is what made it likely. Why it is not their very equation: docs/training.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class DualLoss:
    """The loss of B pairs and its two parts, each of shape (B,), in nats a token."""

    total: torch.Tensor
    """likelihood + weight * unlikelihood."""
    likelihood: torch.Tensor
    """Mean of -log pi over the tokens of the chosen answer; 0 where it has none."""
    unlikelihood: torch.Tensor
    """Mean of `unlikelihood` over the pair's U; exactly 0, also in its gradient, where U is empty."""


def dual_loss(
    chosen: torch.Tensor,
    chosen_mask: torch.Tensor,
    rejected: torch.Tensor,
    toxic: torch.Tensor,
    weight: float,
    bound: float,
) -> DualLoss:
    """The loss of each pair: (1/|y+|) sum -log pi(y+_t) + weight/|U| sum over U of F(log q_t).

    chosen, rejected: log-probabilities of the answers' tokens under the policy, with the plain prompt before them,
    (B, T) and (B, S). chosen_mask: where chosen holds a token of the answer. toxic: U, as booleans, (B, S). bound: see
    `unlikelihood`.
    """
    likelihood = _mean(-chosen.float(), chosen_mask)
    unlikely = _mean(unlikelihood(rejected, bound), toxic)
    return DualLoss(likelihood + weight * unlikely, likelihood, unlikely)


def unlikelihood(log_q: torch.Tensor, bound: float) -> torch.Tensor:
    """F(log q): -log(1 - q) as far as its slope in log q, q / (1 - q), is below `bound`, and straight from there on.

    So the slope is min(q / (1 - q), bound): never above `bound`, and never 0 for a token that is all but certain, where
    -log max(1 - q, eps) has none (Welleck et al. 2019, arXiv 1908.04319, equation 4, with the usual eps). It is the
    gradient of -log(1 - q) weighted by the detached min(1, bound (1 - q) / q), as a function that grows with q.

    log_q: any shape, at most 0; computed in float32.
    """
    import torch

    log_q = log_q.float()
    corner = math.log(bound) - math.log1p(bound)  # where q / (1 - q) = bound
    below = log_q.clamp(max=corner)
    rare = -torch.log1p(-torch.exp(below))
    likely = -torch.log(-torch.expm1(below))  # each is exact where the other rounds: Maechler 2012, log(1 - exp(-|a|))
    curved = torch.where(below < -math.log(2), rare, likely)
    straight = math.log1p(bound) + bound * (log_q - corner)
    return torch.where(log_q < corner, curved, straight)


def toxic_by_ratio(log_p: Sequence[float], log_q: Sequence[float], threshold: float) -> list[bool]:
    """U: where p_t / q_t > threshold.

    log_p: of the toxic answer's tokens under the base with the toxic constraint. log_q: the same without it.
    """
    least = math.log(threshold)
    return [p - q > least for p, q in zip(log_p, log_q, strict=True)]


def toxic_by_absence(rejected: Sequence[int], chosen: Collection[int]) -> list[bool]:
    """U by surface alone: the tokens that the chosen answer does not hold anywhere."""
    held = set(chosen)
    return [token not in held for token in rejected]


def _mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of each row where the mask is true, 0 for a row without such a place; (B, T) to (B,)."""
    return values.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
