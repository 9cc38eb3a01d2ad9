"""The point that is looked at, and its numbers as plain values: what is shown is what is hashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dashboard.page import markup
from dashboard.page.frame import Frame
from dashboard.points.measures import PANEL, present
from dashboard.points.standing import Standing
from dashboard.store import queries
from dashboard.store.queries import Checkpoint, EstimateRow
from dashboard.store.source import ask
from mergescope.ground.ids import full_hash

Numbers = dict[str, dict[str, Any]]
"""By metric: value, low, high, n, n_unscored, worst, best, note."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A merge point before the reader."""

    frame: Frame
    checkpoint: Checkpoint
    who: str
    """The reader's name; empty where they gave none."""

    @property
    def name(self) -> str:
        """For readers."""
        return self.frame.name(self.checkpoint.handle)

    def rows(self, split: str) -> list[EstimateRow]:
        """Every estimate of every checkpoint on one split, by the study's first judge."""
        return ask(queries.estimates, self.frame.study.study_id, self.frame.judge.judge_id, "all", split)

    def numbers(self, split: str) -> Numbers:
        """This point's numbers on one split."""
        return numbers_of(self.rows(split), self.checkpoint.checkpoint_id)

    @property
    def select_sha256(self) -> str:
        """Of the numbers that it is chosen by."""
        return full_hash(self.numbers("select"))

    def table(self, split: str) -> str:
        """The numbers on one split as HTML."""
        word, standing = self.frame.words, Standing(self.rows(split))
        rows = []
        for measure in present(standing.metrics(), PANEL):
            cell, row = standing.shown(self.checkpoint, measure), standing.row(self.checkpoint, measure)
            count = "—" if row is None else f"{row.n:,}"
            rows.append([word(f"metric.{measure.name}"), cell.value, cell.interval, count])
        header = ["", word(f"export.{split}"), word("choosing.interval"), "n"]
        return markup.table(header, rows, word(f"export.{split}"))


def numbers_of(rows: Sequence[EstimateRow], checkpoint_id: str) -> Numbers:
    """One checkpoint's numbers among estimates."""
    found: Numbers = {}
    for row in rows:
        if row.checkpoint_id == checkpoint_id:
            found[row.metric] = {k: v for k, v in asdict(row).items() if k not in ("checkpoint_id", "metric")}
    return found
