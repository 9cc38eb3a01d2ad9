"""The Failures page: what went wrong, where it does so unusually often, and what to learn from it."""

from __future__ import annotations

import streamlit as st

from dashboard.failures.grid import columns
from dashboard.failures.kinds import FAULTS, UNSCORED, Looked, error_counts
from dashboard.failures.list_panel import failures
from dashboard.failures.matrix_panel import matrix
from dashboard.failures.outcomes import Prompts, prompts
from dashboard.failures.scene import Scene, answers_of, judge_for
from dashboard.failures.slices_panel import slices
from dashboard.failures.triples_panel import triples
from dashboard.failures.wavering_panel import lengths, wavering
from dashboard.page import markup, state, trust
from dashboard.page.frame import Frame, current
from dashboard.page.inert import one_line
from dashboard.points.picks import first_pick
from dashboard.store.source import ask


def page() -> None:
    """Draw the page: what needs the picked checkpoint alone comes first, the matrix above it follows."""
    frame = current()
    trust.warning(frame)
    scene = _scene(frame)
    if scene.judge != frame.judge:
        st.html(markup.note(frame.words("failures.judged_by", judge=one_line(scene.judge.name, 64))))
    above = st.container()
    left, right = st.columns([1, 1.25], gap="medium")
    with left:
        chosen = slices(scene)
    with right:
        rows, ticked = failures(scene, chosen)
        if rows:
            triples(scene, rows, ticked)
    with above:
        matrix(scene)
    wavering(scene)
    lengths(scene)


def _scene(frame: Frame) -> Scene:
    """What the filters say."""
    word = frame.words
    asked = ask(prompts, frame.study.study_id)
    handles = [one.handle for one in frame.checkpoints]
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        fault = state.select("fault", word("failures.kind"), list(FAULTS), "over_refusal", lambda f: word(f"fault.{f}"))
        handle = state.select("pick", word("frontier.point"), handles, first_pick(frame), frame.name)
        picked = frame.by_handle(handle)
        looked = Looked(FAULTS[fault])
        mine = answers_of(frame, looked, picked)
        if fault == UNSCORED:
            looked = Looked(FAULTS[fault], _error(frame, error_counts(mine)))
        category = _category(frame, asked)
        seed = _seed(frame)
    return Scene(
        frame,
        looked,
        judge_for(frame, looked),
        asked,
        picked,
        mine,
        tuple(columns(frame.checkpoints, seed)),
        category,
    )


def _error(frame: Frame, counts: dict[str, int]) -> str:
    """Kind of error to keep to."""
    word = frame.words

    def shown(kind: str) -> str:
        name = one_line(word.maybe(f"error.{kind}", kind), 40) if kind else word("failures.all_errors")
        return f"{name} ({counts[kind] if kind else sum(counts.values()):,})"

    return state.select("err", word("failures.error"), ["", *counts], "", shown)


def _category(frame: Frame, asked: Prompts) -> str:
    word = frame.words
    tops = sorted({one[0] for one in asked.categories if one})
    every = word("compare.all")
    return state.select("cat", word("compare.category"), ["", *tops], "", lambda top: one_line(top, 60) or every)


def _seed(frame: Frame) -> int | None:
    """Mask seed of the matrix; None for all of them together."""
    word = frame.words
    seeds = sorted({one.mask_seed for one in frame.points if one.mask_seed is not None})
    if len(seeds) < 2:
        return None
    every = word("failures.all_seeds", count=len(seeds))
    chosen = state.select("seed", word("failures.seed"), ["", *map(str, seeds)], "", lambda seed: seed or every)
    return int(chosen) if chosen else None


page()
