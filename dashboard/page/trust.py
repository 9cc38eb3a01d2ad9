"""Whether the judge behind the numbers can be trusted, said calmly beside its name."""

from __future__ import annotations

import streamlit as st

from dashboard.page import markup
from dashboard.page.frame import Frame
from dashboard.page.inert import one_line
from dashboard.page.language import Words
from dashboard.store.source import ask
from eval.agreement import Agreement
from eval.trust import Calibrated, calibrations


def judge_label(frame: Frame) -> str:
    """What stands behind the judge's name in the header: proxy or not, and its trust."""
    trust = frame.words(f"trust.{frame.judge.trust}")
    return frame.words("strip.proxy" if frame.judge.kind == "proxy" else "strip.judge", trust=trust)


def numbers(frame: Frame) -> None:
    """One small line for each label file that the judge was held against; nothing where there is none."""
    for one in ask(calibrations, frame.judge.judge_id):
        st.html(markup.note(_line(frame.words, one)))


def warning(frame: Frame) -> None:
    """On pages without the header: one small line where the judge is not trusted."""
    if frame.judge.trust == "not trusted":
        st.html(markup.note(frame.words("trust_note.warning", judge=one_line(frame.judge.name, 64))))


def _line(word: Words, one: Calibrated) -> str:
    return word(
        "trust_note.numbers",
        labels=one_line(one.labels, 80),
        n=f"{one.n:,}",
        kappa=agreement_text(one.kappa),
        match=agreement_text(one.string_match),
        gain=agreement_text(one.gain),
        trust=word(f"trust.{one.trust}"),
    )


def agreement_text(value: Agreement) -> str:
    """With its interval; a dash where there is none."""
    return "—" if value.value is None else value.text
