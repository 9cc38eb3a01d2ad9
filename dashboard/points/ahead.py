"""What the first page begins with, worked out before there is a reader."""

from __future__ import annotations

from contextlib import suppress

from dashboard.charts.colours import palette
from dashboard.page.frame import Frame
from dashboard.page.language import LANGUAGES, Words
from dashboard.points import picks
from dashboard.points.rules import unstated
from dashboard.store import queries, source, states
from dashboard.store.source import ask
from mergescope.ground.errors import StoreError


def read_ahead() -> None:
    """Work it out of the store as it is now, and from then on of each state of a store that takes long."""
    states.AHEAD.append(_begin)
    with suppress(StoreError), source.outside_pages():  # pages say what is wrong with a store
        _begin()


def _begin() -> None:
    """The newest study's answers, and its points weighed by the rule that pages start from."""
    frame = _first_frame()
    if frame is not None and (objectives := picks.objectives(frame)):
        picks.under(frame, unstated(objectives))


def _first_frame() -> Frame | None:
    """What a reader without an address sees; None where there is nothing to see."""
    studies = ask(queries.studies)
    judges = ask(queries.judges, studies[0].study_id) if studies else []
    if not judges:
        return None
    checkpoints = ask(queries.checkpoints, studies[0].study_id)
    return Frame(Words(next(iter(LANGUAGES))), palette(None), studies[0], judges[0], checkpoints)
