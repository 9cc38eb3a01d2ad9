"""The rule: constraints and objective, changed on the page, and what eval's choosing makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial

import streamlit as st

from dashboard.page import markup, rounding, state
from dashboard.page.frame import Frame
from dashboard.page.inert import label, one_line
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.points import picks, rules
from dashboard.points.measures import MEASURES
from dashboard.points.rules import Stated
from dashboard.store import queries
from dashboard.store.source import ask, reckon
from eval.metrics import METRICS
from eval.recommended import Recommended
from eval.rule import Constraint

FIRST = ("safety", "violation_rate", "over_refusal_rate", "harmful_refusal_rate")
"""Metrics that a new constraint is about, the first of these that none is about yet."""
SHOWN = 8
"""Points of the recommended set that are listed; the rest is counted."""
SIGNS = {">=": "≥", "<=": "≤"}
_FIELDS = ("metric", "scope", "op", "value", "confidence")


def rule_card(frame: Frame, metrics: Sequence[str]) -> None:
    """Draw the card. metrics: those that the study has."""
    word = frame.words
    mine = picks.rule_of(frame)
    if mine is None:
        return
    found = picks.recommended(frame)
    with st.container(border=True, gap="xsmall", key="rule"):
        where = "" if found is None else word("rule.where", count=f"{found.prompts:,}")
        st.html(markup.titled(word("rule.title"), where))
        _constraints(frame, mine, rules.objectives_of(metrics))
        for complaint in mine.complaints:
            st.html(markup.note(one_line(complaint, 300)))
        if found is None:
            st.html(markup.note(word("rule.no_scores")))
        elif found.best is None:
            st.html(markup.note(_nobody(frame, found), "plain"))
        else:
            _recommended(frame, found, found.best)


def _constraints(frame: Frame, mine: Stated, metrics: Sequence[str]) -> None:
    word = frame.words
    constraints = mine.rule.constraints
    with st.container(key="constraints", horizontal=True, gap="small", vertical_alignment="center"):
        for index, constraint in enumerate(constraints):
            with st.popover(_label(frame, constraint), key=f"rule_{index}", type="tertiary"):
                _edit(frame, constraints, index, metrics)
        st.button(word("rule.add"), key="rule_add", type="tertiary", on_click=_add, args=(constraints, metrics))
    with st.container(key="objective", horizontal=True, gap="medium", vertical_alignment="center"):
        state.select("best", word("rule.best"), metrics, mine.rule.objective, lambda name: _objective(frame, name))
        key = "rule_unscored"
        st.session_state[key] = mine.rule.ignores_unscored
        st.toggle(word("rule.ignore"), key=key, help=word("rule.ignore_help"), on_change=_ignore, args=(key,))


def _ignore(key: str) -> None:
    state.remember("ignore", "unscored" if st.session_state[key] else "")


def _objective(frame: Frame, name: str) -> str:
    way = "rule.most" if METRICS[name].higher_is_better else "rule.least"
    return frame.words(way, metric=frame.words(f"metric.{name}"))


def _label(frame: Frame, constraint: Constraint) -> str:
    """A constraint in words: our own and numbers alone."""
    word, percent = frame.words, MEASURES[constraint.metric].percent
    value = rules.plain(constraint.value * (100 if percent else 1)) + (f"{rounding.GAP}%" if percent else "")
    sure = f"{rules.plain(constraint.confidence * 100)}{rounding.GAP}%"
    name = word(f"metric.{constraint.metric}")
    metric = word("rule.worst_of", metric=name) if constraint.in_worst_category else name
    return f"{metric} {SIGNS[constraint.op]} {value} · {sure}"


def _edit(frame: Frame, constraints: Sequence[Constraint], index: int, metrics: Sequence[str]) -> None:
    word, constraint = frame.words, constraints[index]
    percent = MEASURES[constraint.metric].percent
    own, factor = METRICS[constraint.metric], 100 if percent else 1
    keys = {field: f"rule_{field}_{index}" for field in _FIELDS}
    st.session_state[keys["metric"]] = constraint.metric
    st.session_state[keys["scope"]] = "worst" if constraint.in_worst_category else "mean"
    st.session_state[keys["op"]] = constraint.op
    st.session_state[keys["value"]] = float(constraint.value * factor)
    st.session_state[keys["confidence"]] = max(0.1, float(constraint.confidence * 100))
    changed = partial(_changed, constraints, index, keys)
    options = list(dict.fromkeys([constraint.metric, *metrics]))
    options.sort(key=lambda name: list(MEASURES).index(name))
    st.selectbox(
        word("rule.metric"), options, key=keys["metric"], format_func=lambda n: word(f"metric.{n}"), on_change=changed
    )
    st.selectbox(
        word("rule.scope"),
        ["mean", "worst"],
        key=keys["scope"],
        format_func=lambda n: word(f"rule.{n}"),
        on_change=changed,
    )
    left, middle, right = st.columns([1, 1.3, 1.3])
    left.selectbox(word("rule.op"), list(SIGNS), key=keys["op"], format_func=SIGNS.__getitem__, on_change=changed)
    middle.number_input(
        word("rule.value_percent" if percent else "rule.value"),
        min_value=own.low * factor,
        max_value=own.high * factor,
        step=1.0 if percent else 0.1 if own.form == "mean" else 0.01,
        format="%.4g",
        key=keys["value"],
        on_change=changed,
    )
    right.number_input(
        word("rule.confidence"), 0.1, 99.975, step=1.0, format="%.6g", key=keys["confidence"], on_change=changed
    )
    st.button(word("rule.remove"), key=f"rule_remove_{index}", on_click=_remove, args=(constraints, index))


def _changed(constraints: Sequence[Constraint], index: int, keys: dict[str, str]) -> None:
    """Write the constraint as its fields are now; another metric starts with a bound of its own."""
    fields = {field: st.session_state[key] for field, key in keys.items()}
    constraint = constraints[index]
    if fields["metric"] != constraint.metric:
        constraint = replace(rules.suggested(fields["metric"]), confidence=constraint.confidence)
    else:
        factor = 100 if MEASURES[constraint.metric].percent else 1
        value = Decimal(f"{fields['value']:.6g}") / factor
        confidence = Decimal(f"{fields['confidence']:.6g}") / 100
        constraint = replace(constraint, op=fields["op"], value=value, confidence=confidence)
    constraint = replace(constraint, in_worst_category=fields["scope"] == "worst")
    _keep([*constraints[:index], constraint, *constraints[index + 1 :]])


def _add(constraints: Sequence[Constraint], metrics: Sequence[str]) -> None:
    used = {constraint.metric for constraint in constraints}
    free = [name for name in (*FIRST, *metrics) if name in metrics and name not in used]
    _keep([*constraints, rules.suggested(free[0] if free else metrics[0])])


def _remove(constraints: Sequence[Constraint], index: int) -> None:
    _keep([*constraints[:index], *constraints[index + 1 :]])


def _keep(constraints: Sequence[Constraint]) -> None:
    state.remember("rule", rules.written(constraints))


def _nobody(frame: Frame, found: Recommended) -> str:
    """That no point meets the rule, and which comes nearest."""
    word, points = frame.words, found.standings.points
    met = [name for name, standing in points.items() if standing.feasible]
    p_none = share(found.standings.p_none)
    if met:
        return word("rule.no_value")
    nearest = max(points, key=lambda name: min(points[name].meets, default=0.0))
    text = word("rule.nobody", p=p_none)
    shares = ", ".join(share(met) for met in points[nearest].meets)
    return f"{text} {word('rule.nearest', point=frame.name(_handle(frame, nearest)), shares=shares)}"


def _recommended(frame: Frame, found: Recommended, best: str) -> None:
    word = frame.words
    handle = _handle(frame, best)
    standing = found.standings.points[best]
    text = word("rule.is_best", p=share(standing.p_best), none=share(found.standings.p_none))
    with st.container(key="recommended", horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            label(frame.name(handle)), key="take", on_click=state.remember, args=("pick", handle), type="tertiary"
        )
        st.html(markup.note(text, "plain"))
    if standing.meets:
        st.html(markup.note(word("rule.meets", shares=", ".join(map(share, standing.meets)))))
    _set(frame, found, best)
    for line in _remarks(frame, found, best):
        st.html(markup.note(line))


def _set(frame: Frame, found: Recommended, best: str) -> None:
    """The points that cannot be told from the best one, as rows that pick them."""
    word, separation = frame.words, found.separation
    if separation is None:
        return
    others = sorted((n for n in separation.inseparable if n != best), key=lambda n: separation.points[n].difference)
    if not others:
        st.html(markup.note(word("rule.ahead")))
        return
    names = ("point", "p_best", "behind", "more")
    columns = [
        Column(word(f"rule.{name}"), width) for name, width in zip(names, ("auto", "4rem", "8rem", "5rem"), strict=True)
    ]
    rows = [_row(frame, found, name) for name in others[:SHOWN]]
    st.html(markup.note(word("rule.not_told", count=len(others))))
    sheet(
        "rule_set",
        word("rule.not_told", count=len(others)),
        columns,
        rows,
        selected=state.recall("pick"),
        height="15rem",
        on_pick=lambda handle: state.remember("pick", handle),
    )
    if len(others) > SHOWN:
        st.html(markup.note(word("rule.rest", count=len(others) - SHOWN)))


def _row(frame: Frame, found: Recommended, name: str) -> SheetRow:
    assert found.separation is not None
    measure = MEASURES[found.standings.rule.objective]
    behind, more = found.separation.points[name], found.more[name]
    factor = 100.0 if measure.percent else 1.0
    places = rounding.digits(behind.margin * factor)
    gap = rounding.number(behind.difference * factor, places)
    chance = rounding.number(behind.margin * factor, places)
    needed = frame.words("rule.never") if more.more is None else f"+{more.more:,}"
    return SheetRow(
        _handle(frame, name),
        (
            SheetCell(frame.name(_handle(frame, name))),
            SheetCell(share(found.standings.points[name].p_best)),
            SheetCell(f"{gap} (≤{rounding.GAP}{chance})", hint=frame.words("rule.behind_hint", gap=gap, chance=chance)),
            SheetCell(needed, hint=frame.words("rule.more_hint", now=more.prompts)),
        ),
    )


def _remarks(frame: Frame, found: Recommended, best: str) -> Iterator[str]:
    word, rule = frame.words, found.standings.rule
    if found.more:
        yield word("rule.warning")
    estimate, measure = found.objective[best], MEASURES[rule.objective]
    if estimate.n_unscored and estimate.worst is not None and estimate.best is not None:
        worst, top = (
            rounding.estimate(end, estimate.low, estimate.high, percent=measure.percent).value
            for end in (estimate.worst, estimate.best)
        )
        name = word(f"metric.{measure.name}")
        yield word("frontier.unscored_bounds", metric=name, count=estimate.n_unscored, worst=worst, best=top)
    if any(constraint.is_for_safety for constraint in rule.constraints) and _has_unscored(frame):
        yield word("rule.unscored_ignored" if rule.ignores_unscored else "rule.unscored_worst")


def _has_unscored(frame: Frame) -> bool:
    study = frame.study.study_id
    return bool(reckon(queries.overview, study, frame.judge.judge_id, ask(queries.grid, study)).unscored)


def share(value: float) -> str:
    """A share of the draws: two digits, and never a certainty that 2,000 draws do not give."""
    if 0 < value < 0.005:
        return "<.01"
    if 0.995 <= value < 1:
        return ">.99"
    return f"{value:.2f}"


def _handle(frame: Frame, checkpoint_id: str) -> str:
    return next(c.handle for c in frame.checkpoints if c.checkpoint_id == checkpoint_id)
