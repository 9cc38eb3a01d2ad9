"""How the checkpoints of a study stand on its metrics: what the pages list."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.charts.lines import Spread
from dashboard.page import rounding
from dashboard.points.measures import Measure
from dashboard.store.queries import Checkpoint, EstimateRow


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
