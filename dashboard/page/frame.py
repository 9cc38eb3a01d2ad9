"""What every page stands in: words, palette, study, judge and checkpoints; or a notice of what to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from dashboard.charts.colours import Palette, palette
from dashboard.page import state
from dashboard.page.inert import escaped
from dashboard.page.language import LANGUAGES, Words, preferred
from dashboard.store import queries
from dashboard.store.place import store_path
from dashboard.store.queries import Checkpoint, JudgeRow, StudyRow
from dashboard.store.source import ask
from mergescope.ground.errors import StoreError


@dataclass(frozen=True, slots=True)
class Frame:
    """One reader's view of one study."""

    words: Words
    colours: Palette
    study: StudyRow
    judge: JudgeRow
    checkpoints: list[Checkpoint]

    @property
    def points(self) -> list[Checkpoint]:
        """The merge points by mask seed and ratio."""
        return [c for c in self.checkpoints if c.ratio is not None]

    @property
    def references(self) -> list[Checkpoint]:
        """base, model-safe, model-useful and served models."""
        return [c for c in self.checkpoints if c.ratio is None]

    def by_handle(self, handle: str) -> Checkpoint:
        """The checkpoint of an address; KeyError where there is none."""
        return next((c for c in self.checkpoints if c.handle == handle), None) or _missing(handle)

    def name(self, handle: str) -> str:
        """A checkpoint's name for readers, its mask seed with it where the study has several."""
        checkpoint = self.by_handle(handle)
        seeds = {c.mask_seed for c in self.points}
        if checkpoint.ratio is None or len(seeds) == 1:
            return checkpoint.label
        return f"{checkpoint.label} · {checkpoint.mask_seed}"


def words() -> Words:
    """The reader's language: the address, then the session, then the browser."""
    return Words(state.one_of("lang", list(LANGUAGES), preferred(st.context.locale)))


def current() -> Frame:
    """The frame of this run; ends the run with a notice where there is nothing to show."""
    word = words()
    try:
        found = ask(queries.studies) if store_path().exists() else []
        if not found:
            notice(word, "empty", word("empty.text", store=store_path().name), "make demo-run\nmergescope run RECIPE")
        study = _study(found)
        judges = ask(queries.judges, study.study_id)
        checkpoints = ask(queries.checkpoints, study.study_id)
    except StoreError as error:
        notice(word, "unreadable", error.line(), "")
    if not judges or not any(c.ratio is not None for c in checkpoints):
        notice(word, "unmerged", word("unmerged.text", study=study.name), "mergescope run RECIPE")
    return Frame(word, palette(st.context.theme.type), study, judges[0], checkpoints)


def _study(found: list[StudyRow]) -> StudyRow:
    names = [study.name for study in found]
    return found[names.index(state.one_of("study", names, names[0]))]


def notice(word: Words, problem: str, text: str, command: str) -> NoReturn:
    """Say what is missing and what to run, offer another try, and end this run of the page.

    problem: the key of its title among the words.
    """
    run = f"<pre>{escaped(command)}</pre>" if command else ""
    st.html(f'<div class="ms-notice"><h2>{escaped(word(f"{problem}.title"))}</h2><p>{escaped(text)}</p>{run}</div>')
    with st.container(horizontal_alignment="center"):
        st.button(word("empty.again"), key="again")
    st.stop()


def _missing(handle: str) -> Checkpoint:
    raise KeyError(f"no checkpoint {handle!r} in this study")
