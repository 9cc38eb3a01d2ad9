"""The picked point: its numbers, its differences from a baseline, and the prompts whose verdict flips."""

from __future__ import annotations

import streamlit as st

from dashboard.page import markup, rounding, state
from dashboard.page.frame import Frame
from dashboard.points import flipping, picks
from dashboard.points.measures import PANEL, Measure, present
from dashboard.points.standing import Standing
from dashboard.store import evidence
from dashboard.store.source import reckon


def point_card(frame: Frame, standing: Standing, measures: list[Measure]) -> tuple[str, str]:
    """Draw the card; returns the handles of the picked point and of its baseline."""
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    with st.container(border=True, gap="xsmall", key="point"):
        with st.container(key="pickers", horizontal=True, gap="medium"):
            picked = state.select("pick", word("frontier.point"), handles, picks.first_pick(frame), frame.name)
            others = [handle for handle in handles if handle != picked] or handles  # the first point of a run is alone
            baseline = state.select("baseline", word("frontier.baseline"), others, _first_baseline(others), frame.name)
        shown = present({measure.name for measure in measures}, PANEL)
        st.html(_numbers(frame, standing, shown, picked, baseline) + _bounds(frame, standing, shown, picked))
        _flips(frame, {measure.name for measure in measures}, picked, baseline)
        with st.container(horizontal=True, gap="small"):
            for name in ("compare", "failures", "export"):
                chosen = {"sel": f"{picked},{baseline}", "pick": picked}
                st.page_link(f"views/{name}.py", label=word(f"frontier.{name}"), query_params=_address(frame, chosen))
    return picked, baseline


def _numbers(frame: Frame, standing: Standing, measures: list[Measure], picked: str, baseline: str) -> str:
    word = frame.words
    point = frame.by_handle(picked)
    gaps = reckon(
        evidence.differences,
        frame.study.study_id,
        frame.judge.judge_id,
        _pair(frame, picked, baseline),
        [measure.name for measure in measures],
    )
    rows = []
    for measure in measures:
        shown, gap = standing.shown(point, measure), gaps[measure.name]
        change = rounding.difference(gap.value, gap.low, gap.high, percent=measure.percent)
        rows.append([word(f"metric.{measure.name}"), shown.value, shown.interval, change])
    header = ["", word("frontier.value"), word("frontier.interval"), word("frontier.paired")]
    return markup.table(header, rows, frame.name(picked))


def _bounds(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> str:
    """How far unscored answers could move the picked point: the widest such range, or nothing."""
    rows = [(m, row) for m in measures if (row := standing.row(frame.by_handle(picked), m)) and row.n_unscored]
    ranges = [(abs(row.best - row.worst), m, row) for m, row in rows if row.best is not None and row.worst is not None]
    if not ranges:
        return ""
    _, measure, row = max(ranges, key=lambda found: found[0])
    ends = [rounding.estimate(end, row.low, row.high, percent=measure.percent).value for end in (row.worst, row.best)]
    text = frame.words(
        "frontier.unscored_bounds",
        metric=frame.words(f"metric.{measure.name}"),
        count=row.n_unscored,
        worst=ends[0],
        best=ends[1],
    )
    return markup.note(text)


def _flips(frame: Frame, metrics: set[str], picked: str, baseline: str) -> None:
    """How many prompts flip either way from the baseline to the point, each count a link to them."""
    word = frame.words
    names = [name for name in flipping.FLIPS if name in metrics]
    if "violation_rate" in names:  # says more of harmful prompts than refusals do
        names.remove("harmful_refusal_rate")
    counts = reckon(
        evidence.flip_counts, frame.study.study_id, frame.judge.judge_id, _pair(frame, picked, baseline), names
    )
    with st.container(key="flips", gap=None):
        some = [count for count in counts if count.better + count.worse]
        title = "flip.title" if some else "flip.none"
        st.html(markup.note(word(title, baseline=frame.name(baseline), point=frame.name(picked))))
        for count in some:
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                for way, number in (("better", count.better), ("worse", count.worse)):
                    one = f"{count.metric}.{way}"
                    label = f"{number:,} {flipping.flip_text(frame, one)}"
                    st.page_link(
                        "views/compare.py", label=label, query_params=_to_prompts(frame, one, picked, baseline)
                    )
                st.html(markup.note(f"p {rounding.p_value(count.p)}"))


def _to_prompts(frame: Frame, flip: str, picked: str, baseline: str) -> dict[str, str]:
    nothing = dict.fromkeys(("kind", "diff", "set", "cat", "q", "item"), "")
    return _address(frame, {"sel": f"{picked},{baseline}", flipping.ADDRESS: flip, **nothing})


def _pair(frame: Frame, picked: str, baseline: str) -> tuple[str, str]:
    return frame.by_handle(picked).checkpoint_id, frame.by_handle(baseline).checkpoint_id


def _address(frame: Frame, chosen: dict[str, str]) -> dict[str, str]:
    return {**chosen, "study": frame.study.name, "lang": frame.words.language}


def _first_baseline(handles: list[str]) -> str:
    return "model-useful" if "model-useful" in handles else handles[-1]
