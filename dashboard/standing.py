"""How the checkpoints of a study stand on two metrics: what the frontier page draws and lists."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard import rounding
from dashboard.charts import Curve, Spot, Spread
from dashboard.inert import escaped
from dashboard.measures import Measure
from dashboard.queries import Checkpoint, EstimateRow


class Standing:
    """Estimates of one study by checkpoint and metric."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[EstimateRow]) -> None:
        self._rows = {(row.checkpoint_id, row.metric): row for row in rows}

    def row(self, checkpoint: Checkpoint, measure: Measure) -> EstimateRow | None:
        """The stored estimate; None where the evaluation has not come so far."""
        return self._rows.get((checkpoint.checkpoint_id, measure.name))

    def metrics(self) -> set[str]:
        """Names of the metrics that have a value somewhere."""
        return {metric for (_, metric), row in self._rows.items() if row.value is not None}

    def shown(self, checkpoint: Checkpoint, measure: Measure) -> rounding.Shown:
        """Value and interval as text."""
        row = self.row(checkpoint, measure)
        if row is None:
            return rounding.Shown("—", "")
        return rounding.estimate(row.value, row.low, row.high, percent=measure.percent)

    def spread(self, checkpoint: Checkpoint, measure: Measure) -> Spread | None:
        """Value and interval for a chart, shares in per cent; None where there is no value."""
        row = self.row(checkpoint, measure)
        if row is None or row.value is None:
            return None
        factor = 100.0 if measure.percent else 1.0
        low = row.value if row.low is None else row.low
        high = row.value if row.high is None else row.high
        return Spread(row.value * factor, low * factor, high * factor)


def spots(
    standing: Standing,
    checkpoints: Sequence[Checkpoint],
    names: Sequence[str],
    x: Measure,
    y: Measure,
    titles: tuple[str, str],
) -> list[Spot]:
    """The checkpoints that have both metrics, with the non-dominated merge points marked."""
    found: list[tuple[Checkpoint, str, Spread, Spread]] = []
    for checkpoint, name in zip(checkpoints, names, strict=True):
        across, up = standing.spread(checkpoint, x), standing.spread(checkpoint, y)
        if across is not None and up is not None:
            found.append((checkpoint, name, across, up))
    best = _non_dominated([(c.checkpoint_id, a.value, u.value) for c, _, a, u in found if c.ratio is not None], x, y)
    return [
        Spot(
            c.handle,
            name,
            c.ratio,
            c.mask_seed,
            a,
            u,
            c.checkpoint_id in best,
            _hover(standing, c, name, (x, y), titles),
        )
        for c, name, a, u in found
    ]


def curves(standing: Standing, points: Sequence[Checkpoint], measure: Measure, title: str) -> list[Curve]:
    """One metric along the ratio, a curve for each mask seed."""
    found: list[Curve] = []
    for seed in dict.fromkeys(point.mask_seed for point in points):
        rows = [
            (point.handle, point.ratio, spread)
            for point in points
            if point.mask_seed == seed and point.ratio is not None and (spread := standing.spread(point, measure))
        ]
        if rows:
            handles, ratios, spreads = zip(*sorted(rows, key=lambda row: row[1]), strict=True)
            found.append(Curve(title, seed, handles, ratios, spreads, least_span=measure.least_span))
    return found


def _non_dominated(points: Sequence[tuple[str, float, float]], x: Measure, y: Measure) -> set[str]:
    sign_x = 1 if x.higher_is_better else -1
    sign_y = 1 if y.higher_is_better else -1
    placed = [(name, sign_x * a, sign_y * b) for name, a, b in points]
    return {
        name
        for name, a, b in placed
        if not any(other_a >= a and other_b >= b and (other_a, other_b) != (a, b) for _, other_a, other_b in placed)
    }


def _hover(
    standing: Standing, checkpoint: Checkpoint, name: str, measures: tuple[Measure, Measure], titles: tuple[str, str]
) -> str:
    lines = [f"<b>{escaped(name)}</b>"]
    for measure, title in zip(measures, titles, strict=True):
        text = standing.shown(checkpoint, measure)
        lines.append(f"{escaped(title)} {text.value} ({text.interval})")
    return "<br>".join(lines)
