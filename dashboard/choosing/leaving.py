"""How a point leaves: its bundle as a zip file, and its checkpoint, written by a job that outlives the page."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.choosing.pick import Pick
from dashboard.page import markup
from dashboard.page.inert import escaped, file_name, one_line
from dashboard.page.language import Words
from dashboard.people import readers
from dashboard.store.place import store_path
from dashboard.store.queries import MergeSetting
from dashboard.store.source import ask
from dashboard.study import bundling, gates, jobs
from dashboard.study.jobs import Job, job_folder, job_of
from dashboard.study.recipes import recipe_file
from eval.rows import ChoiceRow
from merge.gates import LESS_SAFE, VENDOR_TERMS, vendors_among
from mergescope.ground.errors import MergescopeError
from mergescope.ground.units import time_text

LARGEST_DOWNLOAD = 500_000_000
"""Bytes of a bundle with checkpoint that goes through the browser; a larger one is fetched from the study's folder."""
LOOK_S = 2
"""Seconds between two looks at a running job."""


@dataclass(frozen=True, slots=True)
class Exit:
    """What an export of the point needs."""

    pick: Pick
    recipe: Path
    ratio: str
    mask_seed: int
    acknowledged: tuple[str, ...]
    """Labels of gates that the reader has opened."""
    closed: bool
    """Whether the point is not chosen, the reader may only read, or a gate that must be opened is not."""
    choice: ChoiceRow | None
    """The choice of this very point that is in force."""

    @property
    def study_folder(self) -> Path:
        """Where the study's outputs are."""
        return self.recipe.parent / self.pick.frame.study.name


def draw(pick: Pick, setting: MergeSetting, current: ChoiceRow | None) -> None:
    """Draw both ways out. current: the study's choice that is in force, of whichever point."""
    word, store = pick.frame.words, store_path()
    recipe = recipe_file(store, pick.frame.study.name)
    ratio, seed = str(setting.point.ratio), setting.point.mask_seed
    choice = current if current is not None and current.checkpoint_id == pick.checkpoint.checkpoint_id else None
    with st.container(border=True):
        st.html(markup.heading(word("export.files")) + markup.note(word("export.bundle_note")))
        st.html(markup.note(word("choosing.by_choice") if choice else word("choosing.by_nobody"), "plain"))
        opened = _gates(pick, None if recipe is None else recipe.parent)
        acknowledged = tuple(label for label, is_open in opened.items() if is_open)
        if recipe is None:
            example = bundling.command("RECIPE", ratio, seed, "bundle", store.name, acknowledged)
            st.html(markup.note(word("export.bundle_missing")))
            st.code(shlex.join(["mergescope", *example]), language="bash", wrap_lines=True)
            return
        may = choice is not None and readers.reader().may_edit  # a bundle holds the confirm split's numbers
        closed = not may or not opened.get(LESS_SAFE, True)
        way = Exit(pick, recipe, ratio, seed, acknowledged, closed, choice)
        _download(way)
        _written(way)


def _gates(pick: Pick, folder: Path | None) -> dict[str, bool]:
    """Show each gate with a box that opens it; returns whether it is open, by label."""
    word, name = pick.frame.words, pick.checkpoint.checkpoint_id
    compared = ask(gates.comparisons, pick.frame.study.study_id, name)
    found: dict[str, list[str]] = {LESS_SAFE: [], VENDOR_TERMS: []}
    for c in compared:
        names = {"metric": word(f"metric.{c.metric}"), "judge": one_line(c.judge), "kind": c.kind}
        if c.less_safe:
            values = {"bound": f"{c.bound:.3g}", "base": f"{c.base:.3g}"}
            found[LESS_SAFE].append(word("export.less_safe", **names, **values))
        elif c.bound is None or c.base is None:
            st.html(markup.note(word("export.not_compared", **names)))
    for vendor, makers in vendors_among(gates.makers(pick.frame.study.recipe, folder)).items():
        found[VENDOR_TERMS].append(word("export.vendor", vendor=vendor.name, names=one_line(", ".join(makers))))
    opened = {}
    for label, texts in found.items():
        if texts:
            st.html("".join(f'<div class="ms-gate" role="alert">{escaped(text, 600)}</div>' for text in texts))
            opened[label] = st.checkbox(word(f"export.acknowledge_{label}"), key=f"{label}:{name}")
    return opened


def _download(way: Exit) -> None:
    """The bundle without weights; a new choice makes a new one."""
    word, name = way.pick.frame.words, way.pick.checkpoint.checkpoint_id
    kept = f"bundle:{name}:{','.join(way.acknowledged)}:{way.choice.choice_id if way.choice else ''}"

    def make() -> bytes:
        readers.require_editor()
        return bundling.bundle(way.recipe, way.ratio, way.mask_seed, store_path(), list(way.acknowledged))

    if st.button(word("export.bundle"), key="prepare_bundle", disabled=way.closed):
        with st.spinner(word("export.bundle_running")):
            _tried(lambda: st.session_state.update({kept: make()}))
    if kept in st.session_state:
        st.download_button(
            word("export.bundle_download"),
            st.session_state[kept],
            file_name(f"{way.pick.frame.study.name}-{way.pick.checkpoint.handle}.zip"),
            "application/zip",
            key="download_bundle",
            on_click="ignore",
        )


def _written(way: Exit) -> None:
    """The job that writes the checkpoint, looked at again and again while it runs."""
    word, folder = way.pick.frame.words, _folder(way)
    st.html(markup.heading(word("job.title")) + markup.note(word("job.about")))
    if folder is None:
        st.html(markup.note(word("job.elsewhere"), "plain"))
        return
    job = _looked_at(folder)
    if job is not None and job.state == "running":
        st.fragment(_running, run_every=LOOK_S)(word, folder)
        return
    if job is not None:
        _ended(way, folder, job)
    label = word("job.start") if job is None else word("job.again")
    if st.button(label, key="start_job", disabled=way.closed):
        command = bundling.writing(way.recipe, way.ratio, way.mask_seed, folder, store_path(), list(way.acknowledged))
        choice = "" if way.choice is None else way.choice.choice_id
        if _tried(lambda: _started(folder, command, choice)):
            st.rerun()


def _folder(way: Exit) -> Path | None:
    """The job's folder; None where a link leads out of the study's own folder."""
    study = way.study_folder
    folder = job_folder(study, way.pick.checkpoint.checkpoint_id)
    return folder if folder.resolve().is_relative_to(study.resolve()) else None


def _running(word: Words, folder: Path) -> None:
    """A running job; starts the page again when it has ended."""
    job = _looked_at(folder)
    if job is None or job.state != "running":
        st.rerun()
        return
    progress = job.progress
    if progress is None:
        st.html(markup.note(word("job.running"), "plain"))
    else:
        st.progress(min(1.0, progress.done / max(1, progress.total)))
        left = "" if progress.remaining_s is None else f" · {time_text(progress.remaining_s)} {word('runs.left')}"
        told = f"{one_line(progress.task)} · {progress.done:,} / {progress.total:,} {one_line(progress.unit)}{left}"
        st.html(markup.note(told, "plain"))
    if st.button(word("job.cancel"), key="cancel_job") and _tried(lambda: _cancelled(folder)):
        st.rerun()


def _ended(way: Exit, folder: Path, job: Job) -> None:
    word = way.pick.frame.words
    if job.state != "done":
        text = word("job.cancelled") if job.state == "cancelled" else word("job.stopped", line=one_line(job.last, 300))
        st.html(f'<div class="ms-gate" role="status">{escaped(text, 600)}</div>')
        return
    made = folder / jobs.MADE
    place = made.relative_to(way.study_folder.parent).as_posix()
    size = bundling.total_bytes(made)
    st.html(markup.note(word("job.done", place=place, size=f"{size / 1e6:,.1f} MB"), "plain"))
    if job.choice_id != ("" if way.choice is None else way.choice.choice_id):
        st.html(markup.note(word("job.older_choice"), "plain"))
    if size > LARGEST_DOWNLOAD:
        st.html(markup.note(word("job.too_large")))
        return
    st.download_button(
        word("job.download"),
        lambda: bundling.zipped(made),
        file_name(f"{way.pick.frame.study.name}-{way.pick.checkpoint.handle}-checkpoint.zip"),
        "application/zip",
        key="download_checkpoint",
        on_click="ignore",
    )


def _started(folder: Path, command: list[str], choice_id: str) -> None:
    readers.require_editor()
    jobs.start(folder, command, choice_id)


def _cancelled(folder: Path) -> None:
    readers.require_editor()
    jobs.cancel(folder)


def _looked_at(folder: Path) -> Job | None:
    found: list[Job | None] = []
    _tried(lambda: found.append(job_of(folder)))
    return found[0] if found else None


def _tried(work: Callable[[], object]) -> bool:
    """Whether it went well; why not is told on the page."""
    try:
        work()
    except MergescopeError as error:
        st.html(markup.alert(error.line()))
        return False
    return True
