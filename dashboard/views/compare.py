"""The Compare page: what up to four checkpoints answered, prompt by prompt."""

from __future__ import annotations

import streamlit as st

from dashboard import answers, markup, pickers, state, trust
from dashboard.answers import AnswerRow, ItemKey, ItemRow, Judged
from dashboard.colours import VERDICT_FILL
from dashboard.frame import Frame, current
from dashboard.inert import csv_bytes, escaped, one_line
from dashboard.pickers import Column, PickCell, PickRow, StripCell
from dashboard.picks import first_pick
from dashboard.source import ask

MOST = 4
"""Checkpoints side by side."""
SHOWN = 300
"""Rows of the table of prompts."""
KINDS = ("borderline", "harmful", "jailbreak", "benign", "choice")
Verdicts = dict[tuple[ItemKey, str], Judged]


def page() -> None:
    """Draw the page."""
    frame = current()
    trust.warning(frame)
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        chosen = state.several(
            "sel", word("compare.checkpoints"), handles, _first_choice(frame), frame.name, MOST, word("compare.choose")
        )
        everything = ask(answers.items, frame.study.study_id)
        found = _filtered(frame, everything, chosen)
    left, right = st.columns([1, 1.9], gap="medium")
    with left:
        item = _table(frame, found, len(everything), chosen)
    with right:
        if item is None:
            st.html(markup.note(word("compare.nothing")))
        else:
            _item(frame, item, chosen, found)


def _first_choice(frame: Frame) -> list[str]:
    points = [c.handle for c in frame.points]
    pick = state.one_of("pick", [c.handle for c in frame.checkpoints], first_pick(frame))
    return list(dict.fromkeys([points[0], pick, points[-1]]))


def _filtered(frame: Frame, everything: list[ItemRow], chosen: list[str]) -> list[ItemRow]:
    word = frame.words
    sets = sorted({item.key.set_name for item in everything})
    tops = sorted({item.category[0] for item in everything if item.category})
    kind = state.select(
        "kind", word("compare.kind"), ["", *KINDS], "", lambda k: word(f"kind.{k or 'all'}"), hidden=True
    )
    name = state.select(
        "set", word("compare.set"), ["", *sets], "", lambda s: s or word("compare.all_sets"), hidden=True
    )
    top = state.select(
        "cat", word("compare.category"), ["", *tops], "", lambda c: c or word("compare.all"), hidden=True
    )
    text = state.search("q", word("compare.search"), word("compare.search")).casefold()
    different = state.toggle("diff", word("compare.different"))
    verdicts = _verdicts(frame, chosen)
    ids = [frame.by_handle(handle).checkpoint_id for handle in chosen]
    return [
        item
        for item in everything
        if kind in ("", item.kind)
        and name in ("", item.key.set_name)
        and (not top or item.category[:1] == (top,))
        and text in item.prompt.casefold()
        and not (different and len({_verdict(verdicts, item.key, one) for one in ids}) < 2)
    ]


def _verdicts(frame: Frame, chosen: list[str]) -> Verdicts:
    ids = sorted(frame.by_handle(handle).checkpoint_id for handle in chosen)
    rows = ask(answers.verdicts, frame.study.study_id, frame.judge.judge_id, ids)
    return {(row.key, row.checkpoint_id): row for row in rows}


def _verdict(verdicts: Verdicts, key: ItemKey, checkpoint_id: str) -> str:
    judged = verdicts.get((key, checkpoint_id))
    return "" if judged is None else judged.verdict


def _table(frame: Frame, found: list[ItemRow], total: int, chosen: list[str]) -> ItemRow | None:
    """The prompts that pass the filters; returns the one that is open."""
    word = frame.words
    verdicts = _verdicts(frame, chosen)
    by_address = {item.key.address: item for item in found}
    st.html(markup.note(word("compare.count", shown=len(found), total=total)))
    if not found:
        return None
    selected = state.one_of("item", list(by_address), next(iter(by_address)))
    lines = [
        PickRow(
            item.key.address,
            (
                PickCell(one_line(item.prompt), hint=one_line(item.prompt, 300)),
                *(_chip(frame, verdicts.get((item.key, frame.by_handle(h).checkpoint_id))) for h in chosen),
            ),
        )
        for item in _around(found, by_address[selected])
    ]
    columns = [Column(word("compare.prompt")), *(Column(_short(frame, handle), "4.8rem") for handle in chosen)]
    pickers.rows(
        "prompts",
        word("compare.table"),
        columns,
        lines,
        selected,
        height="34rem",
        keys=True,
        on_pick=lambda item: state.remember("item", item),
    )
    st.html(markup.note(word("compare.keys")))
    header, rows = _csv(frame, found, verdicts, chosen)
    name = f"{frame.study.name}-compare.csv"
    st.download_button(word("frontier.download"), csv_bytes(header, rows), name, "text/csv", on_click="ignore")
    return by_address[selected]


def _around(found: list[ItemRow], selected: ItemRow) -> list[ItemRow]:
    """At most SHOWN rows, the selected one among them."""
    start = max(0, min(found.index(selected) - SHOWN // 2, len(found) - SHOWN))
    return found[start : start + SHOWN]


def _short(frame: Frame, handle: str) -> str:
    checkpoint = frame.by_handle(handle)
    return handle if checkpoint.ratio is None else f"{checkpoint.ratio:.2f}"


def _chip(frame: Frame, judged: Judged | None) -> PickCell:
    if judged is None:
        return PickCell("—")
    words = _in_words(frame, judged)
    if judged.verdict == "answered" and judged.quality is not None:
        return PickCell(f"{judged.quality:.1f}", "answered", words)
    return PickCell(frame.words(f"chip.{judged.verdict}"), judged.verdict, words)


def _in_words(frame: Frame, judged: Judged) -> str:
    if judged.verdict == "unscored":
        kind = judged.error_kind or "pending"
        return frame.words.maybe(f"error.{kind}", kind)
    return frame.words(f"verdict.{judged.verdict}")


def _csv(
    frame: Frame, found: list[ItemRow], verdicts: Verdicts, chosen: list[str]
) -> tuple[list[str], list[list[object]]]:
    ids = {handle: frame.by_handle(handle).checkpoint_id for handle in chosen}
    rows: list[list[object]] = [
        [
            item.key.set_name,
            item.key.item_key,
            item.kind,
            " / ".join(item.category),
            item.split,
            item.prompt,
            *(_verdict(verdicts, item.key, one) for one in ids.values()),
        ]
        for item in found
    ]
    return ["set", "item", "kind", "category", "split", "prompt", *chosen], rows


def _item(frame: Frame, item: ItemRow, chosen: list[str], found: list[ItemRow]) -> None:
    word = frame.words
    place = word("compare.place", index=found.index(item) + 1, total=len(found))
    st.html(markup.note(" › ".join([word(f"kind.{item.kind}"), *item.category, item.key.set_name, place])))
    st.html(f'<div class="ms-prompt">{escaped(item.prompt, 4000)}</div>')
    _along(frame, item, chosen)
    ids = [frame.by_handle(handle).checkpoint_id for handle in chosen]
    rows = ask(answers.answers, frame.study.study_id, frame.judge.judge_id, item.key, ids)
    by_id = {row.judged.checkpoint_id: row for row in rows}
    first = by_id.get(ids[0])
    cards = [
        _card(frame, item, handle, by_id.get(one), None if handle == chosen[0] else first)
        for handle, one in zip(chosen, ids, strict=True)
    ]
    st.html(f'<div class="ms-cards">{"".join(cards)}</div>')
    if len(chosen) > 1:
        st.html(markup.note(word("compare.marked", first=frame.name(chosen[0]))))


def _along(frame: Frame, item: ItemRow, chosen: list[str]) -> None:
    word = frame.words
    rows = {row.checkpoint_id: row for row in ask(answers.along, frame.study.study_id, frame.judge.judge_id, item.key)}
    cells = [
        StripCell(
            c.handle,
            _short(frame, c.handle),
            row.verdict,
            _in_words(frame, row),
            shown=c.handle in chosen,
            apart=c in frame.references[:1],
        )
        for c in frame.checkpoints
        if (row := rows.get(c.checkpoint_id))
    ]
    st.html(markup.note(word("compare.along")))
    pickers.strip("along", cells, lambda handle: _swap(chosen, handle))
    tones = [tone for tone in VERDICT_FILL if any(c.tone == tone for c in cells)]
    refusing = [c for c in frame.points if (row := rows.get(c.checkpoint_id)) and row.verdict in ("partial", "refused")]
    rest = word("compare.first_refusal", point=frame.name(refusing[0].handle)) if refusing else ""
    st.html(markup.legend([(tone, word(f"verdict.{tone}")) for tone in tones], rest))


def _swap(chosen: list[str], handle: str) -> None:
    """Put a checkpoint beside the others, or take it away; the last one makes room where there is none."""
    kept = [one for one in chosen if one != handle]
    if len(kept) == len(chosen):
        kept = [*kept[: MOST - 1], handle]
    if kept:
        state.remember("sel", ",".join(kept))


def _card(frame: Frame, item: ItemRow, handle: str, row: AnswerRow | None, first: AnswerRow | None) -> str:
    word = frame.words
    name = frame.name(handle)
    reveal = word("compare.reveal")
    if row is None:
        empty = markup.Card(name, word("error.pending"), "unscored", (), "", (), blurred=False, marks=())
        return markup.card(empty, reveal)
    text = row.text or ""
    segments = markup.plain(text) if first is None or first.text is None else markup.differences(first.text, text)
    harmful = item.kind in ("harmful", "jailbreak") or row.judged.verdict == "unsafe"
    said = [axis for axis in row.reasons if axis not in row.scores]
    card = markup.Card(
        title=name,
        verdict=_in_words(frame, row.judged),
        tone=row.judged.verdict,
        segments=segments,
        scores=" · ".join(_score(frame, row, axis) for axis in row.scores if axis not in row.reasons),
        reasons=tuple(_score(frame, row, axis) for axis in (*row.scores, *said) if axis in row.reasons),
        blurred=harmful and bool(text),
        marks=(word("compare.cut"),) if row.judged.cut else (),
    )
    return markup.card(card, reveal)


def _score(frame: Frame, row: AnswerRow, axis: str) -> str:
    """`accuracy 4.5: why`, with as much of it as there is."""
    name = frame.words.maybe(f"axis_name.{axis}", axis)
    value = f" {row.scores[axis]:.3g}" if axis in row.scores else ""
    return f"{name}{value}: {row.reasons[axis]}" if axis in row.reasons else f"{name}{value}"


page()
