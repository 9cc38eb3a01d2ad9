"""From the browser out of the house: a choice's zip passes verify, and a job writes the checkpoint by itself."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.store import states
from dashboard.store.place import STORE_VARIABLE
from dashboard.study import bundling, jobs
from dashboard.study.recipes import STUDIES_VARIABLE
from eval.inbox.slips import waiting
from merge.bundle import EVIDENCE
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json
from mergescope.ground.ids import file_hash, text_hash
from tests.dashboard.conftest import APP
from tests.dashboard.test_choosing import read_all
from tests.mergescope.conftest import cli


def page_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """Choose and export of r = 0.5, by anna."""
    monkeypatch.setenv(STORE_VARIABLE, str(folder / "results.duckdb"))
    monkeypatch.setenv(STUDIES_VARIABLE, str(folder))
    monkeypatch.setattr(states, "SLOW_S", float("inf"))  # a changed store is shown at once
    page = AppTest.from_file(str(APP), default_timeout=120)
    page.switch_page("views/export.py")
    page.query_params.update({"lang": "en", "pick": "0.5", "rater": "anna"})
    return page.run()


def choose(page: AppTest, store: Path) -> None:
    read_all(page)
    page.button(key="open_confirm").click().run()
    page.text_area[0].input("reads best").run()
    page.button(key="choose").click().run()
    assert not page.exception
    until(lambda: not waiting(store))


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def downloaded(page: AppTest, folder: Path) -> Path:
    page.button(key="prepare_bundle").click().run()
    assert not page.exception
    state = page.session_state._state._state.filtered_state
    (name,) = [key for key in state if str(key).startswith("bundle:")]
    file = folder / "bundle.zip"
    file.write_bytes(state[name])
    return file


@pytest.mark.deep
def test_a_choice_leaves_with_its_evidence_and_passes_verify(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(copied, monkeypatch)
    choose(page, copied / "results.duckdb")
    file = downloaded(page, copied)
    with zipfile.ZipFile(file) as archive:
        choice = json.loads(archive.read("manifest.json"))["choice"]
        evidence = archive.read(EVIDENCE).decode("utf-8")
        assert not [name for name in archive.namelist() if name.startswith("/") or ".." in name]
    assert (choice["by"], choice["note"], choice["rule"]) == ("anna", "reads best", "max balance")
    assert choice["source"] == "the store"
    assert choice["evidence_sha256"] == text_hash(evidence)
    assert json.loads(evidence)["checkpoint_id"].startswith("c")
    done = cli("verify", file, "--inputs", copied, cwd=copied)
    assert done.returncode == 0, done.stderr
    assert "equal in every bit" in done.stdout


@pytest.mark.deep
def test_a_job_writes_the_checkpoint_that_another_tab_downloads(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(copied, monkeypatch)
    choose(page, copied / "results.duckdb")
    page.button(key="start_job").click().run()
    assert not page.exception
    (folder,) = (copied / "tiny" / jobs.EXPORTS).iterdir()
    until(lambda: job_state(folder) != "running")
    assert job_state(folder) == "done", (folder / jobs.LOG).read_text(encoding="utf-8")
    progress = read_json(folder / "progress.json")
    assert (progress["stage"], progress["state"]) == ("export", "done")
    tab = page_of(copied, monkeypatch)
    labels = [button.proto.label for button in tab.get("download_button")]
    assert "Download it" in labels
    file = copied / "checkpoint.zip"
    file.write_bytes(bundling.zipped(folder / jobs.MADE))
    done = cli("verify", file, "--inputs", copied, cwd=copied)
    assert done.returncode == 0, done.stderr
    assert (
        file_hash(folder / jobs.MADE / EVIDENCE)
        == read_json(folder / jobs.MADE / "manifest.json")["choice"]["evidence_sha256"]
    )
    (folder / jobs.MADE / "extra").symlink_to("/etc/hostname")
    with pytest.raises(MergescopeError, match="holds a link"):
        bundling.zipped(folder / jobs.MADE)


def job_state(folder: Path) -> str:
    job = jobs.job_of(folder)
    assert job is not None
    return job.state
