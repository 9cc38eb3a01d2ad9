"""The cards of the Compare page: what each checkpoint answered to one prompt, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.page import markup
from dashboard.page.frame import Frame
from dashboard.page.inert import one_line
from dashboard.store import answers
from dashboard.store.answers import ItemRow, Judged, Said
from dashboard.store.source import ask, reckon
from eval.identity import text_id
from eval.interchange.sharing import TOXIC


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as its card shows it."""

    judged: Judged
    scores: dict[str, float]
    """1-5, by axis."""
    said: Said


def answered(frame: Frame, item: ItemRow, judged: Mapping[str, Judged], chosen: Sequence[str]) -> dict[str, Answer]:
    """What the chosen checkpoints have answered, by handle and in order; judged: by checkpoint id."""
    study, judge = frame.study.study_id, frame.judge.judge_id
    ids = {handle: frame.by_handle(handle).checkpoint_id for handle in chosen}
    said = ask(answers.said, study, judge, item.key, list(ids.values()))
    scores = reckon(answers.scores, study, judge, item.key)
    return {
        handle: Answer(judged[one], scores[one], said[one])
        for handle, one in ids.items()
        if one in judged and one in said
    }


def card(frame: Frame, item: ItemRow, handle: str, row: Answer | None, first: Answer | None) -> str:
    """A checkpoint's card as HTML. row: None where there is no answer yet; first: the one to mark differences to."""
    word = frame.words
    name = frame.name(handle)
    reveal = word("compare.reveal")
    if row is None:
        empty = markup.Card(name, word("error.pending"), "unscored", (), "", (), blurred=False, marks=())
        return markup.card(empty, reveal)
    text = row.said.text or ""
    beside = None if first is None else first.said.text
    segments = markup.plain(text) if beside is None else markup.differences(beside, text)
    harmful = item.kind in TOXIC or row.judged.verdict == "unsafe"
    said = [axis for axis in row.said.reasons if axis not in row.scores]
    drawn = markup.Card(
        title=name,
        verdict=in_words(frame, row.judged),
        tone=row.judged.verdict,
        segments=segments,
        scores=" · ".join(_score(frame, row, axis) for axis in row.scores if axis not in row.said.reasons),
        reasons=tuple(_score(frame, row, axis) for axis in (*row.scores, *said) if axis in row.said.reasons),
        blurred=harmful and bool(text),
        marks=(word("compare.cut"),) if row.judged.cut else (),
        text_id=text_id(text),
    )
    return markup.card(drawn, reveal)


def _score(frame: Frame, row: Answer, axis: str) -> str:
    """`accuracy 4.5: why`, with as much of it as there is."""
    name = frame.words.maybe(f"axis_name.{axis}", axis)
    value = f" {row.scores[axis]:.3g}" if axis in row.scores else ""
    return f"{name}{value}: {row.said.reasons[axis]}" if axis in row.said.reasons else f"{name}{value}"


def in_words(frame: Frame, judged: Judged) -> str:
    """A verdict in the reader's language; of what is unscored, why."""
    if judged.verdict == "unscored":
        kind = judged.error_kind or "pending"
        return one_line(frame.words.maybe(f"error.{kind}", kind), 40)
    return frame.words(f"verdict.{judged.verdict}")
