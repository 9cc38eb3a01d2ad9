"""The checklist: answers of the point that a person reads before choosing it, one at a time."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.choosing.pick import Pick
from dashboard.choosing.sampling import Drawn, drawn
from dashboard.page import markup, state
from dashboard.page.frame import Frame
from dashboard.page.inert import escaped
from dashboard.page.markup import Card
from dashboard.page.steps import neighbours
from dashboard.store import answers
from dashboard.store.source import ask, reckon
from eval.identity import text_id
from eval.interchange.sharing import TOXIC
from mergescope.ground.ids import text_hash
from mergescope.ground.seeds import derive_seed


def draw(pick: Pick) -> bool:
    """Draw it; returns whether everything on it is read."""
    word = pick.frame.words
    some, read = drawn_for(pick), _read(pick)
    left = [number for number, one in enumerate(some) if one.judged.key.address not in read]
    st.html(markup.heading(word("choosing.checklist")))
    if not some:
        st.html(markup.note(word("choosing.nothing_to_read")))
        return True
    st.html(markup.note(word("choosing.checklist_about", done=len(some) - len(left), total=len(some))))
    number = _number(pick, len(some), left)
    _steps(pick, some, number)
    st.html(_card(pick, some[number]))
    return not left


def drawn_for(pick: Pick) -> tuple[Drawn, ...]:
    """The point's checklist: the same for everybody who looks at these scores."""
    frame, name = pick.frame, pick.checkpoint.checkpoint_id
    seed = derive_seed(int(frame.study.recipe.get("seed", 0)), "checklist", name)
    return reckon(drawn, frame.study.study_id, frame.judge.judge_id, name, seed)


def record(pick: Pick) -> list[dict[str, Any]]:
    """What was read, for the evidence: which answers and why they, none of their words."""
    some = drawn_for(pick)
    texts = _texts(pick, some)
    prompts = {row.key: row.prompt_id for row in ask(answers.items, pick.frame.study.study_id)}
    return [
        {
            "prompt_id": prompts[one.judged.key],
            "reason": one.reason,
            "verdict": one.judged.verdict,
            "answer_sha256": text_hash(texts.get((one.judged.key, 0), "")),
        }
        for one in some
    ]


def _texts(pick: Pick, some: tuple[Drawn, ...]) -> dict[tuple[answers.ItemKey, int], str]:
    wanted = tuple((one.judged.key, 0) for one in some)
    return ask(answers.bodies, pick.frame.study.study_id, pick.checkpoint.checkpoint_id, wanted)


def _read(pick: Pick) -> set[str]:
    """Addresses of what this session has ticked off; an address that is passed on ticks nothing off."""
    found: set[str] = st.session_state.setdefault(
        f"kept:read:{pick.frame.judge.judge_id}:{pick.checkpoint.checkpoint_id}", set()
    )
    return found


def _number(pick: Pick, total: int, left: list[int]) -> int:
    """The answer that is open, from 0: as the address says of this very point, else the first that is not read."""
    handle, _, told = state.recall("reading").rpartition(":")
    if handle == pick.checkpoint.handle and told.isdecimal() and 1 <= int(told) <= total:
        return int(told) - 1
    return left[0] if left else 0


def _steps(pick: Pick, some: tuple[Drawn, ...], number: int) -> None:
    word, read = pick.frame.words, _read(pick)
    address = some[number].judged.key.address

    def tick() -> None:
        read.symmetric_difference_update({address})
        if address in read:
            state.remember("reading", "")  # on to the next that is not read

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="checklist_steps"):
        st.html(markup.note(word("compare.place", index=number + 1, total=len(some))))
        handle = pick.checkpoint.handle
        neighbours(word, "reading", number, len(some), lambda n: f"{handle}:{n + 1}", "checklist_", keys=True)
        label = word("choosing.unread") if address in read else word("choosing.read")
        st.button(label, key="checklist_read", shortcut="x", on_click=tick)


def _card(pick: Pick, one: Drawn) -> str:
    word, judged = pick.frame.words, one.judged
    item = next(row for row in ask(answers.items, pick.frame.study.study_id) if row.key == judged.key)
    text = _texts(pick, (one,)).get((judged.key, 0), "")
    card = Card(
        title=word(f"choosing.because_{one.reason}"),
        verdict=word(f"verdict.{judged.verdict}"),
        tone=judged.verdict,
        segments=markup.plain(text),
        scores=_scores(pick.frame, one),
        reasons=(),
        blurred=one.kind in TOXIC,
        marks=(word("compare.cut"),) if judged.cut else (),
        text_id=text_id(text),
    )
    prompt = f'<div class="ms-prompt ms-checked">{escaped(item.prompt, 4000)}</div>'
    return prompt + markup.card(card, word("compare.reveal"))


def _scores(frame: Frame, one: Drawn) -> str:
    word, judged = frame.words, one.judged
    levels = (("metric.safety", judged.safety), ("metric.usefulness", judged.quality))
    return " · ".join(f"{word(key)} {level:.1f}" for key, level in levels if level is not None)
