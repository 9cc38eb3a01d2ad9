"""The Judges page: how far judges agree with each other and with people, what failed, what judging took."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st

from dashboard.judges import auditing
from dashboard.judges import queries as judge_queries
from dashboard.judges.measures import Measured, among_judges, with_people
from dashboard.page import markup, state, trust
from dashboard.page.frame import Frame, current
from dashboard.page.inert import csv_bytes, file_name, one_line
from dashboard.people import inbox, rating
from dashboard.store import queries
from dashboard.store.queries import JudgeRow
from dashboard.store.source import ask
from eval.calibration import AxisReport
from eval.judge_ratings import RATED, read_judged, read_ratings
from eval.labels import CLASSES
from eval.people import in_force
from eval.rows import VerdictRow
from eval.subsample import share_of
from mergescope.ground.seeds import derive_seed

Rows = list[list[str]]
LONG = 15
"""Rows from which on a table is scrolled."""


def page() -> None:
    """Draw the page: the tables, or the blind audit alone, so that no judge's word is beside it."""
    frame = current()
    judges = ask(queries.judges, frame.study.study_id)
    with st.container(key="raters", horizontal=True, vertical_alignment="center", gap="medium"):
        is_audit = state.toggle("audit", frame.words("audit.title"))
        judge = judges[0] if is_audit else _picked(frame, judges)
    if is_audit:
        with st.container(key="audit"):
            auditing.draw(frame)
        return
    trust.warning(frame)
    left, right = st.columns([1, 1], gap="large")
    rows = in_force(rating.said(frame.study.study_id))
    with left:
        _judges(frame, judges)
        agreement = _agreement(frame, judges)
        _failures(frame, judge)
    with right:
        _people(frame, judge, rows)
        _calibrations(frame, judge)
        _downloads(frame, agreement, rows)
    for line in inbox.set_aside():
        st.html(markup.note(frame.words("judges.aside", line=one_line(line, 200))))


def _picked(frame: Frame, judges: Sequence[JudgeRow]) -> JudgeRow:
    """The judge that is held against people; the first one where the address names none."""
    if len(judges) == 1:
        return judges[0]
    names = {judge.judge_id: name for judge, name in zip(judges, _names(judges), strict=True)}
    label = frame.words("judges.judge")
    chosen = state.select("judge", label, list(names), judges[0].judge_id, names.__getitem__, hidden=True)
    return next(judge for judge in judges if judge.judge_id == chosen)


def _names(judges: Sequence[JudgeRow]) -> list[str]:
    """Two of one name with their ids."""
    names = [one_line(judge.name, 48) for judge in judges]
    return [
        name if names.count(name) == 1 else f"{name} ({judge.judge_id[:10]})"
        for name, judge in zip(names, judges, strict=True)
    ]


def _judges(frame: Frame, judges: Sequence[JudgeRow]) -> None:
    """Who judges, how far they are trusted, what they took."""
    word = frame.words
    st.html(markup.heading(word("page.judges")))
    totals = ask(judge_queries.totals, frame.study.study_id)
    rows: Rows = []
    for judge, name in zip(judges, _names(judges), strict=True):
        one = totals.get(judge.judge_id)
        kind = word("judges.proxy") if judge.kind == "proxy" else word("judges.llm")
        spent = ["—"] * 4
        if one is not None:
            cost = " + ".join(f"{amount:,.2f} {currency}".strip() for currency, amount in one.cost) or "—"
            tokens = "—" if one.prompt_tokens is None else f"{one.prompt_tokens:,} + {one.completion_tokens or 0:,}"
            spent = [f"{one.judgements:,}", f"{one.failed:,}", tokens, cost]
        rows.append([f"{name} ({kind})", word(f"trust.{judge.trust}"), *spent])
    header = ["judge", "trust", "judgements", "failed", "tokens", "cost"]
    st.html(markup.table([word(f"judges.{name}") for name in header], rows, word("page.judges")))


def _agreement(frame: Frame, judges: Sequence[JudgeRow]) -> Rows:
    """Judges among each other, and each over its repeats; returns the table's rows."""
    word = frame.words
    st.html(markup.heading(word("judges.among")))
    study, share = frame.study.study_id, ask(share_of, frame.study.study_id)
    judged = ask(read_judged, study, share)
    # one axis at a time: a query over all scores would hold the store
    found = [ask(read_ratings, judged, axis, _seed(frame)) for axis in RATED]
    some = [ratings for ratings in found if ratings is not None]
    names = dict(zip((judge.judge_id for judge in judges), _names(judges), strict=True))
    rows = [_agreement_row(frame, one, names) for one in among_judges(some) if set(one.judges) <= set(names)]
    if not rows:
        st.html(markup.note(word("judges.alone")))
        return []
    header = ["axis", "who", "measure", "value", "answers"]
    st.html(markup.table([word(f"judges.{name}") for name in header], rows, word("judges.among")))
    if share < 1:
        st.html(markup.note(word("judges.share", share=f"{share:.1%}")))
    return rows


def _agreement_row(frame: Frame, one: Measured, names: dict[str, str]) -> list[str]:
    word = frame.words
    who = " · ".join(names[judge] for judge in one.judges)
    if len(one.judges) == 1:
        who = word("judges.repeats", judge=who)
    elif len(one.judges) > 2:
        who = word("judges.all")
    axis = word.maybe(f"axis_name.{one.axis}", one.axis)
    return [axis, who, word(f"judges.{one.measure}"), trust.agreement_text(one.agreement), f"{one.agreement.n:,}"]


def _failures(frame: Frame, judge: JudgeRow) -> None:
    """Answers without a verdict, by checkpoint and reason."""
    word = frame.words
    title = word("judges.failures", judge=one_line(judge.name, 48))
    st.html(markup.heading(title))
    found = ask(judge_queries.failures, frame.study.study_id, judge.judge_id)
    counts = {(one.checkpoint_id, one.error_kind): one.count for one in found}
    kinds = sorted({one.error_kind for one in found})
    if not kinds:
        st.html(markup.note(word("judges.no_failures")))
        return
    rows = [
        [frame.name(c.handle), *(f"{counts.get((c.checkpoint_id, kind), 0) or '—'}" for kind in kinds)]
        for c in frame.checkpoints
        if any((c.checkpoint_id, kind) in counts for kind in kinds)
    ]
    names = [one_line(word.maybe(f"error.{kind}", kind), 24) for kind in kinds]
    table = markup.table([word("judges.checkpoint"), *names], rows, title)
    st.html(markup.scrolled(table, title) if len(rows) > LONG else table)


def _people(frame: Frame, judge: JudgeRow, rows: Sequence[VerdictRow]) -> None:
    """The judge beside people's verdicts."""
    word = frame.words
    name = one_line(judge.name, 48)
    st.html(markup.heading(word("judges.people", judge=name)))
    held = ask(judge_queries.held, frame.study.study_id, judge.judge_id, tuple(rows))
    found = with_people(held, _seed(frame))
    if held.labels.seen_judge:
        st.html(markup.note(word("judges.seen", count=f"{held.labels.seen_judge:,}")))
    if found is None:
        st.html(markup.note(word("judges.nobody")))
        return
    _axes(frame, found.axes, word("judges.people", judge=name))
    told = word("judges.weighted") if found.weighted else ""
    st.html(markup.note(" ".join(filter(None, [word("judges.prompts", count=f"{found.prompts:,}"), told]))))


def _calibrations(frame: Frame, judge: JudgeRow) -> None:
    word = frame.words
    st.html(markup.heading(word("judges.calibration")))
    found = ask(judge_queries.calibration_reports, judge.judge_id)
    if not found:
        st.html(markup.note(word("judges.uncalibrated")))
        st.html("<pre>mergescope judge calibrate RECIPE --labels FILE</pre>")
    for one in found:
        labels = one_line(one.labels, 80)
        st.html(
            markup.note(word("judges.labels", labels=labels, n=f"{one.n:,}", trust=word(f"trust.{one.trust}")), "plain")
        )
        _axes(frame, one.axes, labels)


def _axes(frame: Frame, axes: Sequence[AxisReport], title: str) -> None:
    """Agreement on each axis; of refusals also what was taken for what."""
    word = frame.words
    rows = [
        [
            word.maybe(f"axis_name.{axis.axis}", axis.axis),
            trust.agreement_text(axis.agreement),
            f"{axis.agreement.n:,}",
            trust.agreement_text(axis.people),
            f"{sum(axis.unscored.values()):,}",
        ]
        for axis in axes
    ]
    header = ["axis", "kappa", "answers", "each_other", "unscored"]
    st.html(markup.table([word(f"judges.{name}") for name in header], rows, title))
    for axis in axes:
        if axis.confusion is not None:
            _confusion(frame, axis, title)


def _confusion(frame: Frame, axis: AxisReport, title: str) -> None:
    word = frame.words
    names = [word(f"rating.{name}") for name in CLASSES]
    precision = [trust.agreement_text(one) for one in axis.precision]
    rows = [
        [name, *(f"{count:,.4g}" for count in counts), trust.agreement_text(recall)]
        for name, counts, recall in zip(names, axis.confusion or (), axis.recall, strict=True)
    ]
    rows.append([word("judges.precision"), *precision, ""])
    st.html(markup.table([word("judges.confusion"), *names, word("judges.recall")], rows, title))
    if axis.string_match is not None:
        match = axis.string_match
        st.html(
            markup.note(
                word("judges.match", kappa=trust.agreement_text(match.kappa), gain=trust.agreement_text(match.gain))
            )
        )


def _downloads(frame: Frame, agreement: Rows, rows: Sequence[VerdictRow]) -> None:
    """People's verdicts as a label file, and the table of agreement."""
    word, name = frame.words, frame.study.name
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if agreement:
            header = ["axis", "who", "measure", "value", "answers"]
            st.download_button(
                word("frontier.download"), csv_bytes(header, agreement), file_name(f"{name}-judges.csv"), "text/csv",
                on_click="ignore", key="download_agreement",
            )  # fmt: skip
        if not rows:
            return
        found = ask(judge_queries.label_lines, frame.study.study_id, tuple(rows))
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in found.lines)
        st.download_button(
            word("judges.download"), text, file_name(f"{name}-verdicts.jsonl"), "application/jsonl",
            on_click="ignore", key="download_verdicts", disabled=not found.lines,
        )  # fmt: skip
    if found.kept_back:
        st.html(markup.note(word("judges.kept_back", count=f"{found.kept_back:,}")))


def _seed(frame: Frame) -> int:
    return derive_seed(int(frame.study.recipe.get("seed", 0)), "agreement")


page()
