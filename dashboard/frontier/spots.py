"""What the Frontier page draws: a spot for each ratio and reference, and each metric's curve along the ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dashboard.charts.frontier import SeedSpot, Spot
from dashboard.charts.lines import Curve, Spread
from dashboard.page.inert import escaped, one_line
from dashboard.points.measures import Measure
from dashboard.points.standing import Standing
from dashboard.store.queries import Checkpoint

LABEL = 28
"""Letters of a checkpoint's name beside its point: the chart is narrow, and the hover box has the whole."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What the chart shows."""

    x: Measure
    y: Measure
    level: Measure | None
    """What the colour says; None for the ratio."""
    titles: tuple[str, ...]
    """In words, of x, y and (where there is one) the colour."""

    @property
    def measures(self) -> list[Measure]:
        """All of them."""
        return [measure for measure in (self.x, self.y, self.level) if measure is not None]


def spots(
    standing: Standing, checkpoints: Sequence[Checkpoint], name: Callable[[Checkpoint], str], axes: Axes
) -> list[Spot]:
    """The ratios and references that have both metrics, with the non-dominated ratios marked.

    Mask seeds of a ratio are one spot at their mean. `name` gives a checkpoint's name for readers, raw.
    """
    seen = [c for c in checkpoints if all(standing.spread(c, m) for m in (axes.x, axes.y))]
    best = _non_dominated(
        [(group[0].handle, *_means(standing, group, axes)) for group in groups(seen) if group[0].ratio is not None],
        axes,
    )
    return [_spot(standing, group, name, axes, group[0].handle in best) for group in groups(seen)]


def groups(checkpoints: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """The merges of each ratio together, mask seeds rising, and each reference by itself, in the order given."""
    found: dict[object, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        key = checkpoint.checkpoint_id if checkpoint.ratio is None else checkpoint.ratio
        found.setdefault(key, []).append(checkpoint)
    return [sorted(group, key=lambda c: c.mask_seed or 0) for group in found.values()]


def curves(standing: Standing, points: Sequence[Checkpoint], measure: Measure, title: str) -> list[Curve]:
    """One metric along the ratio: the mean over the mask seeds, and behind it each seed where there are several."""
    known = [point for point in points if standing.spread(point, measure)]
    by_seed = [[[p] for p in known if p.mask_seed == seed] for seed in dict.fromkeys(p.mask_seed for p in known)]
    chains = [groups(known), *(by_seed if len(by_seed) > 1 else [])]
    return [_curve(standing, chain, measure, title) for chain in chains if chain]


def _curve(standing: Standing, chain: list[list[Checkpoint]], measure: Measure, title: str) -> Curve:
    rising = sorted(chain, key=lambda group: group[0].ratio or 0.0)
    spreads = tuple(_mean_spread(standing, group, measure) for group in rising)
    handles, ratios = tuple(group[0].handle for group in rising), tuple(group[0].ratio or 0.0 for group in rising)
    return Curve(title, rising[0][0].mask_seed, handles, ratios, spreads, least_span=measure.least_span)


def _spot(
    standing: Standing, group: list[Checkpoint], name: Callable[[Checkpoint], str], axes: Axes, on_frontier: bool
) -> Spot:
    first = group[0]
    level = None if axes.level is None else standing.spread(first, axes.level)
    several = len(group) > 1
    return Spot(
        handle=first.handle,
        label=escaped(one_line(first.label if several else name(first), LABEL)),
        ratio=first.ratio,
        x=_mean_spread(standing, group, axes.x),
        y=_mean_spread(standing, group, axes.y),
        on_frontier=on_frontier,
        hover=_hover(standing, group, first.label if several else name(first), axes),
        level=None if level is None or axes.level is None else _mean_spread(standing, group, axes.level).value,
        seeds=tuple(_seed_spot(standing, one, name(one), axes) for one in group) if several else (),
    )


def _seed_spot(standing: Standing, checkpoint: Checkpoint, name: str, axes: Axes) -> SeedSpot:
    x, y = (_mean_spread(standing, [checkpoint], measure).value for measure in (axes.x, axes.y))
    return SeedSpot(checkpoint.handle, x, y, _hover(standing, [checkpoint], name, axes))


def _means(standing: Standing, group: list[Checkpoint], axes: Axes) -> tuple[float, float]:
    return _mean_spread(standing, group, axes.x).value, _mean_spread(standing, group, axes.y).value


def _mean_spread(standing: Standing, group: Sequence[Checkpoint], measure: Measure) -> Spread:
    """Mean value and mean ends over mask seeds: they answer the same prompts, so a mean is hardly surer than one."""
    found = [spread for checkpoint in group if (spread := standing.spread(checkpoint, measure))]
    return Spread(*(sum(ends) / len(found) for ends in zip(*((s.value, s.low, s.high) for s in found), strict=True)))


def _non_dominated(points: Sequence[tuple[str, float, float]], axes: Axes) -> set[str]:
    sign_x, sign_y = (1 if measure.higher_is_better else -1 for measure in (axes.x, axes.y))
    placed = [(name, sign_x * a, sign_y * b) for name, a, b in points]
    return {
        name
        for name, a, b in placed
        if not any(other_a >= a and other_b >= b and (other_a, other_b) != (a, b) for _, other_a, other_b in placed)
    }


def _hover(standing: Standing, group: list[Checkpoint], name: str, axes: Axes) -> str:
    lines = [f"<b>{escaped(name)}</b>"]
    for measure, title in zip(axes.measures, axes.titles, strict=True):
        texts = [standing.shown(checkpoint, measure) for checkpoint in group]
        told = " · ".join(text.value for text in texts) if len(texts) > 1 else f"{texts[0].value} ({texts[0].interval})"
        lines.append(f"{escaped(title)} {told}")
    return "<br>".join(lines)
