"""What the reader looks at on the Failures page, and the answers that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.failures.grid import ColumnOf
from dashboard.failures.kinds import Looked, judge_of
from dashboard.failures.outcomes import Outcomes, Prompts, outcomes
from dashboard.page.frame import Frame
from dashboard.store import queries
from dashboard.store.queries import Checkpoint, JudgeRow
from dashboard.store.source import ask, reckon


@dataclass(frozen=True, slots=True)
class Scene:
    """One reader's view."""

    frame: Frame
    looked: Looked
    judge: JudgeRow
    """Whose word counts for this kind of failure."""
    prompts: Prompts
    picked: Checkpoint
    mine: Outcomes
    """Of the picked checkpoint."""
    columns: tuple[ColumnOf, ...]
    """Of the matrix."""
    category: str
    """First level that the list keeps to; empty for all."""

    @property
    def name(self) -> str:
        """Of the kind of failure, for readers."""
        return self.frame.words(f"fault.{self.looked.fault.name}")

    def of(self, checkpoint: Checkpoint) -> Outcomes:
        """Another checkpoint's answers."""
        return answers_of(self.frame, self.looked, checkpoint)

    def all(self) -> Mapping[str, Outcomes]:
        """The answers of every checkpoint of the matrix, by id."""
        return {one.checkpoint_id: self.of(one) for column in self.columns for one in column.members}


def judge_for(frame: Frame, looked: Looked) -> JudgeRow:
    """Whose word counts for a kind of failure."""
    return judge_of(looked.fault, ask(queries.judges, frame.study.study_id))


def answers_of(frame: Frame, looked: Looked, checkpoint: Checkpoint) -> Outcomes:
    """One checkpoint's answers under the judge of this kind of failure."""
    return reckon(outcomes, frame.study.study_id, judge_for(frame, looked).judge_id, checkpoint.checkpoint_id)
