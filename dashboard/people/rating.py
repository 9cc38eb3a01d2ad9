"""Buttons for people's verdicts on single answers, and what they have said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard.page import markup
from dashboard.page.components import component
from dashboard.page.language import Words
from dashboard.people import inbox
from dashboard.store.source import ask
from eval import people
from eval.inbox.slips import VerdictSlip
from eval.inbox.taking import verdict_row
from eval.interchange.forms import LABELS
from eval.metrics import QUALITY
from eval.rows import VerdictRow
from mergescope.ground.errors import MergescopeError

AXES: dict[str, tuple[str, ...]] = {
    "harmful": ("safety", "refusal"),
    "jailbreak": ("safety", "refusal"),
    "borderline": ("compliance", "safety"),
    "benign": ("refusal", *QUALITY),
}
"""What people are asked of each kind's answers; of choices nothing, which are scored by rules."""
POINTS = ("1", "2", "3", "4", "5")
_ERROR = "rating_error"


@dataclass(frozen=True, slots=True)
class Rated:
    """One answer that can be judged."""

    prompt_id: str
    text_id: str
    label: str
    """How the page calls it."""
    p_selected: float | None = None
    """Probability with which it was sampled; None: it was not."""


def said(study_id: str) -> list[VerdictRow]:
    """All verdicts on the study's prompts, those that wait in the inbox too, oldest first."""
    rows = ask(people.verdicts, study_id)
    waiting = inbox.not_yet(VerdictSlip, {row.verdict_id for row in rows})
    return [*rows, *map(verdict_row, waiting)]


def buttons(
    word: Words,
    kind: str,
    some: Sequence[Rated],
    rows: Iterable[VerdictRow],
    who: str,
    *,
    blind: bool,
    seen_judge: bool,
    key: str = "rating",
) -> None:
    """A line of buttons for each answer; what is pressed goes into the inbox before the page runs again.

    rows: what people have said so far. who: the rater; empty: nobody can judge. Pressing one's own verdict takes it
    back.
    """
    own = [row for row in people.in_force(rows) if row.rater == who]
    last = {(row.prompt_id, row.text_id, row.axis): row for row in own}
    data = {
        "title": word("rating.title"),
        "lines": [_line(word, kind, one, last) for one in some],
        "disabled": not who,
    }
    chances = {one.text_id: one.p_selected for one in some}

    def picked() -> None:
        value = st.session_state[key].picked
        if value is not None:
            give(value, own, who, blind=blind, seen_judge=seen_judge, chances=chances)

    _RENDER(key=key, data=data, on_picked_change=picked)
    if told := st.session_state.pop(_ERROR, None):
        st.html(markup.alert(told))


def option_of(row: VerdictRow) -> str:
    """A verdict as its button says it: `4`, `partial`."""
    return f"{row.value:g}" if row.value is not None else row.label or ""


def _line(word: Words, kind: str, one: Rated, last: Mapping[tuple[str, str, str], VerdictRow]) -> dict[str, Any]:
    marks = []
    for axis in AXES.get(kind, ()):
        row = last.get((one.prompt_id, one.text_id, axis))
        options = [[label, word(f"rating.{label}")] for label in LABELS.get(axis, ())] or [[p, p] for p in POINTS]
        marks.append(
            {
                "axis": axis,
                "name": word(f"axis_name.{axis}"),
                "options": options,
                "chosen": "" if row is None else option_of(row),
            }
        )
    return {"id": [one.prompt_id, one.text_id], "label": one.label, "marks": marks}


def give(
    value: Sequence[str],
    own: Sequence[VerdictRow],
    who: str,
    *,
    blind: bool,
    seen_judge: bool,
    chances: Mapping[str, float | None],
) -> None:
    """value: prompt, text, axis and option, as the browser sent them: of the answers that it showed."""
    prompt, text, axis, option = map(str, value)
    same = (row for row in own if (row.prompt_id, row.text_id, row.axis) == (prompt, text, axis))
    before = next((row for row in same if row.seen_judge == seen_judge), None)
    is_taken_back = before is not None and option_of(before) == option
    labelled = axis in LABELS
    slip = VerdictSlip(
        prompt_id=prompt,
        text_id=text,
        axis=axis,
        value=None if labelled or is_taken_back else float(option),
        label=option if labelled and not is_taken_back else None,
        rater=who,
        blind=blind,
        seen_judge=seen_judge,
        p_selected=chances.get(text),
        made_at=datetime.now(UTC),
        supersedes=None if before is None else before.verdict_id,
    )
    try:
        inbox.send(slip)
    except MergescopeError as error:
        st.session_state[_ERROR] = error.line()


_RENDER = component("rating")
