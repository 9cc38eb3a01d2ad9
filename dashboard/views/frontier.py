"""The Frontier page: the trade-off at a glance, the picked point's numbers, every metric against the ratio."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import answers, charts, evidence, markup, picks, queries, rounding, state, trust
from dashboard.answers import ItemKey
from dashboard.frame import Frame, current
from dashboard.inert import csv_bytes
from dashboard.measures import CURVES, MEASURES, PANEL, X_DEFAULT, Y_DEFAULT, Measure, present
from dashboard.source import ask, updated
from dashboard.standing import Standing, curves, spots

COLUMNS = 4


def page() -> None:
    """Draw the page."""
    frame = current()
    standing = Standing(ask(queries.estimates, frame.study.study_id, frame.judge.judge_id, "all", "all"))
    measures = present(standing.metrics())
    _strip(frame)
    if len(measures) < 2:
        st.html(markup.note(frame.words("frontier.no_metrics")))
        st.code("mergescope eval RECIPE", language=None)
        return
    chart, panel = st.columns([1.72, 1], gap="medium")
    with panel:
        picked = _panel(frame, standing, measures)
    with chart:
        _chart(frame, standing, measures, picked)
    _curves(frame, standing, measures, picked)


def _strip(frame: Frame) -> None:
    word = frame.words
    counts = ask(queries.overview, frame.study.study_id, frame.judge.judge_id)
    unscored = sum(counts.unscored.values())
    kinds = ", ".join(f"{word.maybe(f'error.{kind}', kind)} {n:,}" for kind, n in counts.unscored.items())
    ratios = word("strip.ratios") if counts.mask_seeds == 1 else word("strip.ratios_seeds", seeds=counts.mask_seeds)
    items = [
        (f"{counts.ratios:,}", ratios),
        (f"{counts.prompts:,}", word("strip.prompts")),
        (f"{counts.judged:,}", word("strip.judged")),
        (f"{unscored:,}", word("strip.unscored_kinds", kinds=kinds) if unscored else word("strip.unscored")),
        (frame.judge.name, trust.judge_label(frame)),
    ]
    st.html(markup.strip(items, word("strip.updated", when=_local(updated()))))
    trust.numbers(frame)
    if counts.by_mergekit:
        st.html(markup.note(word("frontier.by_mergekit")))


def _local(moment: datetime) -> str:
    offset = st.context.timezone_offset  # minutes that UTC is ahead of the browser's clock
    local = moment.timestamp() - 60 * (offset or 0)
    return datetime.fromtimestamp(local, moment.tzinfo).strftime("%H:%M:%S")


def _chart(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    word = frame.words
    x, y = _axes(frame, measures)
    titles = (word(f"metric.{x.name}"), word(f"metric.{y.name}"))
    names = [frame.name(c.handle) for c in frame.checkpoints]
    found = spots(standing, frame.checkpoints, names, x, y, titles)
    figure = charts.frontier(
        found,
        x_title=_with_unit(titles[0], x),
        y_title=_with_unit(titles[1], y),
        picked=picked,
        mixing=word("frontier.mixing"),
        colours=frame.colours,
    )
    _clickable(figure, "frontier_chart", word("frontier.chart"))


def _axes(frame: Frame, measures: list[Measure]) -> tuple[Measure, Measure]:
    names = [measure.name for measure in measures]
    word = frame.words
    with st.container(key="axes", horizontal=True, gap="medium", vertical_alignment="center"):
        x = _axis("x", word("axis.x"), names, _first_of(names, X_DEFAULT, "benign_answer_rate", "usefulness"), frame)
        y = _axis(
            "y", word("axis.y"), names, _first_of([name for name in names if name != x] or names, Y_DEFAULT), frame
        )
        st.html(markup.note(word("frontier.key")))
    return MEASURES[x], MEASURES[y]


def _first_of(names: list[str], *wanted: str) -> str:
    """The first of `wanted` that the study has; else its last metric."""
    return next((name for name in wanted if name in names), names[-1])


def _axis(name: str, label: str, names: list[str], default: str, frame: Frame) -> str:
    return state.select(name, label, names, default, lambda metric: frame.words(f"metric.{metric}"))


def _panel(frame: Frame, standing: Standing, measures: list[Measure]) -> str:
    """The picked point's numbers and what they lead to; returns its handle."""
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    _recommended(frame)
    with st.container(border=True, gap="small"):
        with st.container(key="pickers", horizontal=True, gap="medium"):
            picked = state.select("pick", word("frontier.point"), handles, picks.first_pick(frame), frame.name)
            others = [handle for handle in handles if handle != picked]
            baseline = state.select("baseline", word("frontier.baseline"), others, _first_baseline(others), frame.name)
        shown = present({measure.name for measure in measures}, PANEL)
        st.html(_numbers(frame, standing, shown, picked, baseline) + _bounds(frame, standing, shown, picked))
        _flips(frame, picked, baseline)
        with st.container(horizontal=True, gap="small"):
            for name in ("compare", "failures", "export"):
                chosen = {"sel": f"{picked},{baseline}", "pick": picked}
                st.page_link(f"views/{name}.py", label=word(f"frontier.{name}"), query_params=_address(frame, chosen))
    return picked


def _numbers(frame: Frame, standing: Standing, measures: list[Measure], picked: str, baseline: str) -> str:
    word = frame.words
    point, other = frame.by_handle(picked), frame.by_handle(baseline)
    gaps = ask(
        evidence.differences,
        frame.study.study_id,
        frame.judge.judge_id,
        (point.checkpoint_id, other.checkpoint_id),
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


def _recommended(frame: Frame) -> None:
    word = frame.words
    found = picks.recommended(frame)
    if found is None:
        return
    measure = MEASURES[picks.METRIC]
    point = next(c for c in frame.checkpoints if c.checkpoint_id == found.checkpoint_id)
    select, confirm = (
        rounding.estimate(e.value, e.low, e.high, percent=measure.percent) for e in (found.select, found.confirm)
    )
    text = word(
        "frontier.recommended_text",
        point=frame.name(point.handle),
        metric=word(f"metric.{picks.METRIC}"),
        select=select.value,
        confirm=f"{confirm.value} ({confirm.interval})",
    )
    names = {c.checkpoint_id: frame.name(c.handle) for c in frame.checkpoints}
    gaps = " · ".join(
        f"{names[other]} {rounding.difference(gap.value, gap.low, gap.high, percent=measure.percent)}"
        for other, gap in found.differences.items()
    )
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.html(markup.heading(f"{word('frontier.recommended')}: {frame.name(point.handle)}"))
            st.button(word("frontier.take"), on_click=state.remember, args=("pick", point.handle), type="tertiary")
        st.html(markup.note(f"{text} {gaps}.", "plain"))


def _flips(frame: Frame, picked: str, baseline: str) -> None:
    """How many prompts of each kind get another verdict than at the baseline, each count a link to them."""
    word = frame.words
    pair = sorted(frame.by_handle(handle).checkpoint_id for handle in (picked, baseline))
    found: dict[ItemKey, set[str]] = {}
    for row in ask(answers.verdicts, frame.study.study_id, frame.judge.judge_id, pair):
        found.setdefault(row.key, set()).add(row.verdict)
    kinds = [i.kind for i in ask(answers.items, frame.study.study_id) if len(found.get(i.key, set())) > 1]
    with st.container(key="flips", horizontal=True, gap="small", vertical_alignment="center"):
        st.html(markup.note(word("frontier.flips")))
        for kind in ("harmful", "borderline", "benign"):
            chosen = {
                "sel": f"{picked},{baseline}",
                "kind": kind,
                "diff": "1",
                "set": "",
                "cat": "",
                "q": "",
                "item": "",
            }
            label = f"{kinds.count(kind)} {word(f'kind.{kind}')}"
            st.page_link("views/compare.py", label=label, query_params=_address(frame, chosen))


def _address(frame: Frame, chosen: dict[str, str]) -> dict[str, str]:
    return {**chosen, "study": frame.study.name, "lang": frame.words.language}


def _curves(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    word = frame.words
    st.html(markup.heading(word("frontier.curves")))
    found = [
        curve
        for measure in present({measure.name for measure in measures}, CURVES)
        for curve in curves(standing, frame.points, measure, _with_unit(word(f"metric.{measure.name}"), measure))
    ]
    figure = charts.small_multiples(
        found, picked_ratio=frame.by_handle(picked).ratio, columns=COLUMNS, colours=frame.colours
    )
    _clickable(figure, "curves_chart", word("frontier.curves_chart"))
    _download(frame, standing, measures)


def _download(frame: Frame, standing: Standing, measures: list[Measure]) -> None:
    header = ["checkpoint", "ratio", "mask_seed", "metric", "value", "low", "high", "n", "n_unscored", "worst", "best"]
    rows = [
        [
            c.label,
            c.ratio,
            c.mask_seed,
            m.name,
            row.value,
            row.low,
            row.high,
            row.n,
            row.n_unscored,
            row.worst,
            row.best,
        ]
        for c in frame.checkpoints
        for m in measures
        if (row := standing.row(c, m))
    ]
    name = f"{frame.study.name}-metrics.csv"
    st.download_button(frame.words("frontier.download"), csv_bytes(header, rows), name, "text/csv", on_click="ignore")


def _clickable(figure: Any, key: str, description: str) -> None:
    st.plotly_chart(
        figure,
        key=key,
        on_select=lambda: _pick(key),
        selection_mode="points",
        config={"displayModeBar": False, "displaylogo": False},
        alt=description,
    )


def _pick(key: str) -> None:
    points = st.session_state[key].selection.points
    if points and points[0].get("customdata"):
        state.remember("pick", str(points[0]["customdata"][0]))


def _first_baseline(handles: list[str]) -> str:
    return "model-useful" if "model-useful" in handles else handles[-1]


def _with_unit(title: str, measure: Measure) -> str:
    return f"{title} %" if measure.percent else title


page()
