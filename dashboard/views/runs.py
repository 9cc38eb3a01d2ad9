"""The Runs page: where each study of this machine stands, and the curves of its trainings as they grow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import streamlit as st

from dashboard.charts.colours import palette
from dashboard.charts.training import Panel, training
from dashboard.page import markup, state
from dashboard.page.frame import notice, words
from dashboard.page.inert import escaped, one_line
from dashboard.page.language import Words
from dashboard.store.place import store_path
from dashboard.study.recipes import RecipeFile, recipes
from dashboard.study.runs import Progress, Run, StageRow, TrainingCurve, last_active, run_of
from mergescope.ground.errors import MergescopeError
from mergescope.ground.units import time_text
from trainer.curve import HELD_OUT

BUSY_S, IDLE_S = 3, 15
"""Seconds between two looks at the files: while something runs, and while nothing does."""
COLUMNS = 2
RATIOS = {"safe": 1.0, "useful": 0.0}


def page() -> None:
    """Draw the page."""
    word = words()
    found = {recipe.study: recipe for recipe in recipes(store_path())}
    if not found:
        notice(word, "recipeless", word("recipeless.text"), "mergescope init studies/mine.yaml")
    newest = max(found.values(), key=last_active).study
    names = list(found)
    with st.container(key="filters", horizontal=True, vertical_alignment="center"):
        chosen = state.select("run", word("header.study"), names, state.one_of("study", names, newest))
    recipe = found[chosen]
    busy = _is_busy(recipe)
    st.fragment(_live, run_every=BUSY_S if busy else IDLE_S)(word, recipe, busy)


def _is_busy(recipe: RecipeFile) -> bool:
    try:
        progress = run_of(recipe).progress
    except MergescopeError:
        return False
    return progress is not None and progress.is_alive


def _live(word: Words, recipe: RecipeFile, busy: bool) -> None:
    """The part that follows the files; starts the page again where it has to be looked at more or less often."""
    try:
        run = run_of(recipe)
    except MergescopeError as error:
        st.html(markup.note(error.line(), "plain"))
        return
    if (run.progress is not None and run.progress.is_alive) != busy:
        st.rerun()
    st.html(markup.strip(list(_counts(word, run)), _heard(word, run.progress)))
    left, right = st.columns([2.1, 1], gap="large")
    with left:
        _charts(word, run)
    with right:
        _stages(word, run)
        if run.log:
            st.html(markup.heading(word("runs.log")))
            st.html(markup.log(run.log, word("runs.log")))


def _counts(word: Words, run: Run) -> Iterator[tuple[str, str]]:
    made = sum(stage.state == "made" for stage in run.stages)
    yield f"{made} / {len(run.stages)}", word("runs.made")
    progress = run.progress
    if progress is None or not progress.is_alive:
        return
    yield f"{progress.done:,} / {progress.total:,}", one_line(f"{progress.task} {progress.unit}")
    yield f"{progress.rate:,.2g}", word("runs.rate", unit=one_line(progress.unit, 30))
    if progress.remaining_s is not None:
        yield time_text(progress.remaining_s), word("runs.left")


def _heard(word: Words, progress: Progress | None) -> str:
    if progress is None:
        return word("runs.never")
    return word(
        "strip.updated", when=datetime.fromtimestamp(_now() - progress.age_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    )


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _charts(word: Words, run: Run) -> None:
    st.html(markup.heading(word("runs.curves")))
    panels = list(_panels(word, run))
    if not panels:
        st.html(markup.note(word("runs.no_curves")))
        return
    st.html(markup.note(word("runs.key_held_out" if any(panel.looks[0] for panel in panels) else "runs.key")))
    figure = training(panels, COLUMNS, palette(st.context.theme.type))
    st.plotly_chart(figure, key="curves", config={"displayModeBar": False}, alt=word("runs.curves_alt"))


def _panels(word: Words, run: Run) -> Iterator[Panel]:
    """The losses of both trainings side by side, then whatever else each of them tells.

    What is 0 throughout is no part of a training: the loss of toxic tokens, where there are none.
    """
    curves = [curve for curve in run.curves if curve.points]
    names = list(dict.fromkeys(["loss", *(name for curve in curves for name in curve.metrics)]))
    for name in names:
        for curve in curves:
            if name == "loss" or any(curve.series(name)[1]):
                yield _panel(word, run, curve, name)


def _panel(word: Words, run: Run, curve: TrainingCurve, name: str) -> Panel:
    steps, values = curve.series(name)
    progress = run.progress
    at_work = not curve.is_whole and progress is not None and progress.stage == curve.role
    return Panel(
        title=escaped(f"model-{curve.role}: {word.maybe(f'runs.metric.{name}', name)}", 60),
        ratio=RATIOS[curve.role],
        steps=steps,
        values=values,
        looks=curve.series(HELD_OUT) if name == "loss" else ([], []),
        looks_name=word("runs.held_out"),
        total=progress.total if at_work and progress is not None and progress.unit == "steps" else curve.steps,
    )


def _stages(word: Words, run: Run) -> None:
    st.html(markup.heading(word("runs.stages")))
    header = [word("runs.stage"), word("runs.state"), word("runs.at")]
    rows = [[_name(word, stage), word(f"runs.is.{stage.state}"), _when(stage)] for stage in run.stages]
    st.html(markup.table(header, rows, word("runs.stages")))
    if (progress := run.progress) is None:
        st.html(markup.note(word("runs.start")))
        return
    if progress.note and progress.is_alive:
        st.html(markup.note(one_line(progress.note, 300)))
    for kind, count in sorted(progress.errors.items()):
        st.html(markup.note(f"{one_line(word.maybe(f'error.{kind}', kind))}: {count:,}"))
    if any(stage.state == "stopped" for stage in run.stages):
        st.html(markup.note(word("runs.stopped"), "plain"))


def _name(word: Words, stage: StageRow) -> str:
    return f"model-{stage.name}" if stage.name in RATIOS else word(f"runs.name.{stage.name}")


def _when(stage: StageRow) -> str:
    return "" if stage.at is None else datetime.fromtimestamp(stage.at, UTC).strftime("%m-%d %H:%M")


page()
