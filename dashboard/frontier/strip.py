"""The top of the Frontier page: what was judged, by whom, and how far a run is. It looks for news by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import streamlit as st

from dashboard.page import markup, trust
from dashboard.page.frame import Frame
from dashboard.page.inert import one_line
from dashboard.store import queries
from dashboard.store.place import store_path
from dashboard.store.source import ask, look, reckon, shown_state, updated
from dashboard.study.recipes import RecipeFile, recipe_of
from dashboard.study.runs import Progress, progress_of
from mergescope.ground.errors import MergescopeError, StoreError
from mergescope.ground.units import time_text

BUSY_S, IDLE_S = 2, 10
"""Seconds between two looks at the files: while something runs, and while nothing does."""


def strip(frame: Frame) -> None:
    """Draw the strip and keep it up to date; the page is drawn again only when the store has news."""
    recipe = recipe_of(store_path(), frame.study.name)
    busy = _is_alive(_progress(recipe))
    st.fragment(_live, run_every=BUSY_S if busy else IDLE_S)(frame, recipe, busy, shown_state())
    trust.numbers(frame)
    if ask(queries.grid, frame.study.study_id).by_mergekit:
        st.html(markup.note(frame.words("frontier.by_mergekit")))


def _live(frame: Frame, recipe: RecipeFile | None, busy: bool, drawn: tuple[int, int]) -> None:
    """What is looked at again and again; `drawn` is the store's state that the rest of the page shows."""
    progress = _progress(recipe)
    look()
    if _is_news(drawn) or _is_alive(progress) != busy:
        st.rerun()
    st.html(markup.strip(list(_counts(frame)), frame.words("strip.updated", when=_local(updated()))))
    if progress is not None and progress.state == "running":
        st.html(_running(frame, progress))


def _is_news(drawn: tuple[int, int]) -> bool:
    try:
        return shown_state() != drawn
    except StoreError:
        return True  # the page says what is wrong with the store


def _progress(recipe: RecipeFile | None) -> Progress | None:
    try:
        return None if recipe is None else progress_of(recipe)
    except MergescopeError:
        return None  # the Runs page says what is wrong with the file


def _is_alive(progress: Progress | None) -> bool:
    return progress is not None and progress.is_alive


def _counts(frame: Frame) -> Iterator[tuple[str, str]]:
    word = frame.words
    study = frame.study.study_id
    counts = reckon(queries.overview, study, frame.judge.judge_id, ask(queries.grid, study))
    unscored = sum(counts.unscored.values())
    kinds = ", ".join(f"{one_line(word.maybe(f'error.{kind}', kind), 24)} {n:,}" for kind, n in counts.unscored.items())
    ratios = word("strip.ratios") if counts.mask_seeds <= 1 else word("strip.ratios_seeds", seeds=counts.mask_seeds)
    yield f"{counts.ratios:,}", ratios
    yield f"{counts.prompts:,}", word("strip.prompts")
    yield f"{counts.judged:,}", word("strip.judged")
    yield f"{unscored:,}", word("strip.unscored_kinds", kinds=kinds) if unscored else word("strip.unscored")
    for judge in ask(queries.judges, study):
        yield one_line(judge.name, 40), trust.judge_label(replace(frame, judge=judge))


def _running(frame: Frame, progress: Progress) -> str:
    word = frame.words
    stage = word.maybe(f"runs.name.{progress.stage}", progress.stage)
    if not progress.is_alive:
        text = word("strip.stopped", stage=stage, done=f"{progress.done:,}", total=f"{progress.total:,}")
        return markup.note(text, "plain")
    rest = "" if progress.remaining_s is None else f" · {time_text(progress.remaining_s)} {word('runs.left')}"
    text = f"{stage}: {progress.task} {progress.done:,} / {progress.total:,} {progress.unit}".strip()
    return markup.progress(
        f"{text} · {word('strip.rate', rate=f'{progress.rate:,.3g}')}{rest}", progress.done, progress.total
    )


def _local(moment: datetime) -> str:
    offset = st.context.timezone_offset  # minutes that UTC is ahead of the browser's clock
    local = moment.timestamp() - 60 * (offset or 0)
    return datetime.fromtimestamp(local, moment.tzinfo).strftime("%H:%M:%S")
