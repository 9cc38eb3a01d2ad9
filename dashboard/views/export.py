"""The Export page: the exact mergekit config and command of a merge point, its numbers, its bundle."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import streamlit as st

from dashboard import bundling, gates, markup, queries, state, trust
from dashboard.frame import Frame, current
from dashboard.inert import escaped, one_line
from dashboard.measures import PANEL, present
from dashboard.picks import first_pick
from dashboard.queries import Checkpoint, MergeSetting
from dashboard.recipes import recipe_file
from dashboard.source import ask, store_path
from dashboard.standing import Standing
from merge.gates import LESS_SAFE, VENDOR_TERMS, vendors_among
from merge.mergekit_yaml import CONFIG, INPUTS, command, mergekit_config, to_yaml
from mergescope.ground.errors import MergescopeError

SPLITS = ("select", "confirm")


def page() -> None:
    """Draw the page."""
    frame = current()
    trust.warning(frame)
    word = frame.words
    points = [c.handle for c in frame.points]
    left, right = st.columns([1.3, 1], gap="large")
    with left:
        with st.container(key="filters", horizontal=True, vertical_alignment="center"):
            handle = state.select("pick", word("export.point"), points, first_pick(frame), frame.name)
        checkpoint = frame.by_handle(handle)
        setting = ask(queries.merge_setting, checkpoint.checkpoint_id)
        _config(frame, handle, setting)
    with right:
        _numbers(frame, checkpoint)
        _bundle(frame, checkpoint, setting)


def config_text(setting: MergeSetting) -> str:
    """mergekit.yaml of a judged merge."""
    named = (INPUTS["base"], INPUTS["safe"], INPUTS["useful"])
    return to_yaml(mergekit_config(setting.point, *named, setting.out_dtype, setting.chat_template))


def _config(frame: Frame, handle: str, setting: MergeSetting) -> None:
    word = frame.words
    text = config_text(setting)
    st.html(markup.heading(f"{word('export.yaml')} · {frame.name(handle)}"))
    if setting.point.way == "mergekit":
        st.html(markup.note(word("export.by_mergekit", method=setting.point.method)))
    st.code(text, language="yaml", wrap_lines=True)
    st.download_button(
        word("export.download_yaml", file=CONFIG),
        text.encode("utf-8"),
        CONFIG,
        "application/yaml",
        key="download_yaml",
        type="primary",
        on_click="ignore",
    )
    st.html(markup.heading(word("export.command")))
    st.code(shlex.join(command(setting.point, setting.threads)), language="bash", wrap_lines=True)
    note = word("export.command_note", version=setting.mergekit, threads=setting.threads)
    folders = ", ".join(name.removeprefix("./") for name in INPUTS.values())
    st.html(markup.note(note) + markup.note(word("export.inputs", inputs=folders)))


def _numbers(frame: Frame, checkpoint: Checkpoint) -> None:
    word = frame.words
    study, judge = frame.study.study_id, frame.judge.judge_id
    standings = {split: Standing(ask(queries.estimates, study, judge, "all", split)) for split in SPLITS}
    rows = []
    for measure in present(standings["select"].metrics(), PANEL):
        cells = [standing.shown(checkpoint, measure) for standing in standings.values()]
        shown = [f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in cells]
        rows.append([word(f"metric.{measure.name}"), *shown])
    with st.container(border=True):
        st.html(markup.heading(word("export.numbers")))
        st.html(markup.table(["", *(word(f"export.{split}") for split in SPLITS)], rows, word("export.numbers")))


def _bundle(frame: Frame, checkpoint: Checkpoint, setting: MergeSetting) -> None:
    word = frame.words
    store = store_path()
    recipe = recipe_file(store, frame.study.name)
    ratio, seed = str(setting.point.ratio), setting.point.mask_seed
    with st.container(border=True):
        st.html(markup.heading(word("export.files")) + markup.note(word("export.bundle_note")))
        opened = _gates(frame, checkpoint, None if recipe is None else recipe.parent)
        if recipe is None:
            acknowledged = [label for label, open_ in opened.items() if open_]
            example = bundling.command("RECIPE", ratio, seed, "bundle", store.name, acknowledged)
            st.html(markup.note(word("export.bundle_missing")))
            st.code(shlex.join(["mergescope", *example]), language="bash", wrap_lines=True)
            return
        _download(frame, checkpoint, opened, lambda labels: bundling.bundle(recipe, ratio, seed, store, labels))


def _gates(frame: Frame, checkpoint: Checkpoint, folder: Path | None) -> dict[str, bool]:
    """Show each gate with a box that opens it; returns whether it is open, by label."""
    word = frame.words
    compared = ask(gates.comparisons, frame.study.study_id, checkpoint.checkpoint_id)
    found: dict[str, list[str]] = {LESS_SAFE: [], VENDOR_TERMS: []}
    for c in compared:
        names = {"metric": word(f"metric.{c.metric}"), "judge": one_line(c.judge), "kind": c.kind}
        if c.less_safe:
            values = {"bound": f"{c.bound:.3g}", "base": f"{c.base:.3g}"}
            found[LESS_SAFE].append(word("export.less_safe", **names, **values))
        elif c.bound is None or c.base is None:
            st.html(markup.note(word("export.not_compared", **names)))
    for vendor, makers in vendors_among(gates.makers(frame.study.recipe, folder)).items():
        found[VENDOR_TERMS].append(word("export.vendor", vendor=vendor.name, names=one_line(", ".join(makers))))
    opened = {}
    for label, texts in found.items():
        if texts:
            st.html("".join(f'<div class="ms-gate" role="alert">{escaped(text, 600)}</div>' for text in texts))
            opened[label] = st.checkbox(word(f"export.acknowledge_{label}"), key=f"{label}:{checkpoint.checkpoint_id}")
    return opened


def _download(
    frame: Frame, checkpoint: Checkpoint, opened: Mapping[str, bool], make: Callable[[list[str]], bytes]
) -> None:
    word = frame.words
    acknowledged = [label for label, open_ in opened.items() if open_]
    kept = f"bundle:{checkpoint.checkpoint_id}:{','.join(acknowledged)}"
    closed = not opened.get(LESS_SAFE, True)
    if st.button(word("export.bundle"), key="prepare_bundle", disabled=closed):
        with st.spinner(word("export.bundle_running")):
            _prepare(kept, lambda: make(acknowledged))
    if kept in st.session_state:
        name = f"{frame.study.name}-{checkpoint.handle}.zip"
        st.download_button(
            word("export.bundle_download"),
            st.session_state[kept],
            name,
            "application/zip",
            key="download_bundle",
            on_click="ignore",
        )


def _prepare(key: str, make: Callable[[], bytes]) -> None:
    try:
        st.session_state[key] = make()
    except MergescopeError as error:
        st.html(f'<div class="ms-note" role="alert">{escaped(error.line(), 600)}</div>')


page()
