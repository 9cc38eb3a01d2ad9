"""Export as triples: failed answers become pairs for the next round, to be reviewed by a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.failures.list_panel import Row
from dashboard.failures.scene import Scene
from dashboard.failures.triples import Failure, Planned, export, given_answers, plan
from dashboard.page import markup, state
from dashboard.page.inert import escaped, one_line
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.people import readers
from dashboard.store import answers
from dashboard.store.answers import texts_by_id
from dashboard.store.place import store_path
from dashboard.store.source import ask, board
from dashboard.store.states import PATIENCE_S
from dashboard.study.recipes import recipe_file
from eval.store import open_store
from mergescope.ground.errors import MergescopeError

AT_ONCE = 100
"""Prompts whose answers one query finds: a few hundred hold a big store for longer than a page may."""
_TOLD = "triples_told"
"""Of the last export, as long as the reader looks at the same failures: (look, whether it went well, words, set)."""


def triples(scene: Scene, rows: Sequence[Row], ticked: bool) -> None:
    """Draw the switch and, where it is on, what would be exported and the button that does it."""
    word = scene.frame.words
    if not scene.looked.fault.exports:
        st.html(markup.note(word(f"triples.never_{scene.looked.fault.name}")))
        return
    if not state.toggle("triples", word("triples.title")):
        return
    folder = study_folder(scene)
    if folder is None:
        st.html(markup.note(word("triples.elsewhere", study=one_line(scene.frame.study.name, 64)), "plain"))
        return
    planned = _planned(scene, rows)
    good = [one for one in planned if one.chosen is not None]
    st.html(markup.note(word("triples.ticked" if ticked else "triples.shown", count=len(rows))))
    _preview(scene, good)
    _left_out(scene, planned)
    with st.container(key="triples_form", horizontal=True, vertical_alignment="bottom", gap="small"):
        name = _set_name(scene)
        st.button(
            word("triples.export", count=len(good)),
            key="export_triples",
            type="primary",
            disabled=not good or not name or not readers.reader().may_edit,
            on_click=_export,
            args=(scene, folder, name, good),
        )
    _told(scene)


def study_folder(scene: Scene) -> Path | None:
    """Where the study's files are on this machine; None where they are not."""
    file = recipe_file(store_path(), scene.frame.study.name)
    folder = None if file is None else file.parent / scene.frame.study.name
    return folder if folder is not None and folder.is_dir() else None


def _planned(scene: Scene, rows: Sequence[Row]) -> list[Planned]:
    """By the judge of the pages, whoever told the failure."""
    study, judge = scene.frame.study.study_id, scene.frame.judge.judge_id
    keys = list(dict.fromkeys(row.key for row in rows))
    some = [keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE)]
    places = [place for part in some for place in ask(answers.places, study, part)]
    given = given_answers(board(study, judge), places)
    failures = [_failure(scene, row) for row in rows]
    return plan(failures, given, [one.checkpoint_id for one in scene.frame.checkpoints])


def _failure(scene: Scene, row: Row) -> Failure:
    prompts = scene.prompts
    return Failure(
        row.key,
        scene.picked.checkpoint_id,
        row.sample,
        str(prompts.kind[row.item]),
        prompts.categories[row.item],
        prompts.texts[row.item],
        bool(prompts.single[row.item]),
    )


def _preview(scene: Scene, good: Sequence[Planned]) -> None:
    """The answers to learn; those to avoid are not shown."""
    if not good:
        return
    word = scene.frame.words
    chosen = [one.chosen for one in good if one.chosen is not None]
    texts = ask(texts_by_id, sorted({one.text_id for one in chosen}))
    names = {one.checkpoint_id: scene.frame.name(one.handle) for one in scene.frame.checkpoints}
    lines = [
        SheetRow(
            f"{one.key.address}#{index}",
            (
                SheetCell(one_line(planned.failure.prompt), hint=one_line(planned.failure.prompt, 300)),
                SheetCell(one_line(texts[one.text_id]), hint=one_line(texts[one.text_id], 300)),
                SheetCell(one_line(names[one.checkpoint_id], 32)),
                SheetCell("—" if one.score is None else f"{one.score:.3g}"),
            ),
        )
        for index, (planned, one) in enumerate(zip(good, chosen, strict=True))
    ]
    columns = [
        Column(word("compare.prompt"), "30%"),
        Column(word("triples.chosen")),
        Column(word("triples.by"), "6.5rem"),
        Column(word("triples.score"), "3.4rem"),
    ]
    sheet("triples_plan", word("triples.plan"), columns, lines, height="14rem")


def _left_out(scene: Scene, planned: Sequence[Planned]) -> None:
    counts = Counter(one.skipped for one in planned if one.skipped)
    for why, count in sorted(counts.items()):
        st.html(markup.note(scene.frame.words(f"triples.skip_{why}", count=count)))


def _set_name(scene: Scene) -> str:
    key = "triples_set"
    default = f"failures-{scene.looked.fault.name.replace('_', '-')}"
    st.session_state.setdefault(key, st.session_state.get("kept:triples_set", default))
    st.text_input(
        scene.frame.words("triples.set"),
        key=key,
        max_chars=64,
        on_change=lambda: state.keep("triples_set", str(st.session_state[key])),
    )
    return str(st.session_state[key]).strip()


def _export(scene: Scene, folder: Path, name: str, good: Sequence[Planned]) -> None:
    """The failed answers' texts are read here, past the pages' cache, and go nowhere but to the quarantine."""
    word = scene.frame.words
    names = {one.checkpoint_id: f"{one.label} of {scene.frame.study.name}" for one in scene.frame.checkpoints}

    def made_by(one: Planned) -> str:
        both = [one.chosen.checkpoint_id] if one.chosen else []
        return ", ".join(names[part] for part in [*both, one.failure.checkpoint_id])

    wanted = {one.failed_text_id for one in good} | {one.chosen.text_id for one in good if one.chosen}
    try:
        readers.require_editor()
        with open_store(store_path(), read_only=True, patience_s=PATIENCE_S) as db:
            texts = texts_by_id(db, sorted(filter(None, wanted)))
        made = export(folder, name, good, texts, made_by)
    except MergescopeError as error:
        st.session_state[_TOLD] = (_look(scene), False, error.line(), name)
        return
    told = word("triples.done", new=made.new, there=made.there, set=name)
    empty = f" {word('triples.empty', count=made.empty)}" if made.empty else ""
    st.session_state[_TOLD] = (_look(scene), True, told + empty, name)


def _look(scene: Scene) -> tuple[str, str, str, str]:
    frame = scene.frame
    return frame.words.language, frame.study.name, scene.looked.fault.name, scene.picked.handle


def _told(scene: Scene) -> None:
    look, went_well, text, name = st.session_state.get(_TOLD, (None, False, "", ""))
    if look != _look(scene):
        return
    if not went_well:
        st.html(markup.alert(text))
        return
    st.html(f'<div class="ms-note" role="status">{escaped(text, 600)}</div>')
    nothing = {"pair": "", "pair_kind": "", "status": ""}  # whatever was filtered there before, it shows these pairs
    address = {"pairs": name, "study": scene.frame.study.name, "lang": scene.frame.words.language, **nothing}
    st.page_link("views/review.py", label=scene.frame.words("triples.review"), query_params=address)
