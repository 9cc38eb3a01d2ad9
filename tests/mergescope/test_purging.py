"""Toxic texts go when their time is over or when they are told to; a training that needs them keeps them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import write_manifest
from mergescope.ground.progress import Reporter
from mergescope.lock import locked
from mergescope.purging import purge_study
from mergescope.retention import open_study
from mergescope.stages import STAGES, Work
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.recipes import changed, demo, own_models, written
from tests.trainer.pairs.made import META, make_pair, make_set
from trainer.job import Job, begin, work_folder
from trainer.pairs.from_answers import pair_of_answers
from trainer.pairs.pair import Pair
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import LOCK, Quarantine
from trainer.quarantine_lock import InUseError, in_use
from trainer.retention import delete_unused, kept

DAY = 86400
TOXIC = "TOXIC-CANARY-4711"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return written(tmp_path, changed(own_models(), "data", {"retention_days": 30}))


def aged(study: Path, days: float) -> None:
    for file in Quarantine(study).folder.glob("*.json"):
        os.utime(file, (time.time() - days * DAY,) * 2)


def held(study: Path) -> int:
    return len(list(Quarantine(study).folder.glob("*.json")))


def unfinished_training(study: Path, data: Path) -> Path:
    work = work_folder(study, "safe")
    begin(work, Job("h1", "safe", {}, "base", (str(data),), 1, "logps", ("x",)), Reporter())
    return work


def test_every_opening_of_a_study_looks_at_the_retention_time(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "tiny"
    make_set(study, 2)
    aged(study, 29)
    open_study(recipe)
    assert held(study) == 2
    aged(study, 31)
    open_study(recipe)
    assert capsys.readouterr().err == "retention: 2 toxic texts deleted\n"
    assert held(study) == 0


def test_an_unfinished_training_keeps_its_data_where_the_study_was_moved(recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    pairs = make_set(study, 2)
    unfinished_training(study, tmp_path / "elsewhere" / "data" / pairs.folder.name)
    aged(study, 31)
    open_study(recipe)
    assert held(study) == 2


def test_commands_open_studies_by_that_door_alone() -> None:
    """A command that reads the recipe itself would not look at the retention time; purge looks on its own."""
    readers = [
        file.name
        for file in sorted((ROOT / "mergescope").glob("*.py"))
        if "import load_study" in file.read_text(encoding="utf-8")
    ]
    assert readers == ["cli.py"]
    assert (ROOT / "mergescope" / "cli.py").read_text(encoding="utf-8").count("import load_study") == 1


def test_a_purge_says_what_it_deleted_and_never_what_it_said(recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    ref = make_pair(study, rejected=TOXIC).rejected
    done = cli("purge", recipe, cwd=tmp_path)
    assert done.stdout.splitlines() == ["0 toxic texts deleted", "1 kept: used within 30 days"]
    refused = cli("purge", recipe, "--now", cwd=tmp_path)
    assert (refused.returncode, held(study)) == (2, 1)
    assert "add --yes" in refused.stderr
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
    assert done.stdout.splitlines() == [f"{ref.sha256[:12]}  17 characters  Scams", "1 toxic text deleted"]
    assert TOXIC not in done.stdout + done.stderr
    assert held(study) == 0


def test_an_unfinished_training_keeps_its_data_until_its_model_is_whole(recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    data, other = make_set(study, 2).folder, make_set(study, 1, "other").folder
    make_pair(study, rejected="of no set")
    unfinished_training(study, data)
    aged(study, 400)
    assert other.exists()
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
    # the one pair of `other` has the text of the first of `data`, and a text is kept once
    assert done.stdout.splitlines()[-2:] == ["1 toxic text deleted", "2 kept: unfinished trainings need them"]
    (study / "model-safe").mkdir()
    write_manifest(study / "model-safe", stage_hash="h1", content={})
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "2 toxic texts deleted"


def test_a_study_that_is_being_run_is_left_alone(recipe: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "tiny", 1)
    with locked(tmp_path / "tiny"):
        study = open_study(recipe)
        with pytest.raises(MergescopeError, match="is being run by"):
            list(purge_study(study, now=True, yes=True))
    assert held(tmp_path / "tiny") == 1


@contextmanager
def user(study: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that uses a study's quarantine until it is killed."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from trainer.quarantine import Quarantine; from trainer.quarantine_lock import in_use\n"
        "with in_use(Quarantine(Path(sys.argv[1]))):\n"
        "    print('go', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, str(study)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_nothing_is_deleted_while_another_process_uses_the_texts(recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    make_set(study, 2)
    aged(study, 31)
    with user(study) as first, user(study) as second:
        done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
        assert done.returncode == 2
        who = f"process {first.pid}, process {second.pid}"
        assert done.stderr.strip() == (
            f"{study / 'quarantine'}: the quarantine is in use by {who}; "
            "wait until that has ended, or stop it, then run this again"
        )
        open_study(recipe)  # goes on, and leaves what is overdue to the next command
        assert held(study) == 2
        first.kill()
        first.wait()
        assert f"by process {second.pid};" in cli("purge", recipe, "--now", "--yes", cwd=tmp_path).stderr
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)  # a kill let go of it
    assert (done.returncode, held(study)) == (0, 0)
    assert (study / "quarantine" / LOCK).stat().st_mode & 0o777 == 0o600


def test_a_text_is_kept_between_its_coming_and_its_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "tiny"
    add = PairSet.add

    def late(pairs: PairSet, pair: Pair) -> None:
        with pytest.raises(InUseError):
            delete_unused(study, datetime.now(UTC), 0)
        add(pairs, pair)

    monkeypatch.setattr(PairSet, "add", late)
    given = {"prompt": "質問", "chosen": "お断りします。", "rejected": TOXIC, "meta": META, "made_by": "r 0.50"}
    pair = pair_of_answers(study, "answers", kind="harmful", **given)
    assert Quarantine(study).get(pair.rejected.sha256) == TOXIC
    assert len(delete_unused(study, datetime.now(UTC), 0)) == 1


def test_a_training_that_starts_keeps_its_texts_before_its_job_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a set of another study as well, and none of a set that it does not read."""
    other, unread = tmp_path / "other", tmp_path / "unread"
    data, _ = make_set(other, 2).folder, make_set(unread, 1)
    tried: list[str] = []

    def starting(*_: object) -> None:
        for study in (other, unread):
            try:
                delete_unused(study, datetime.now(UTC), 0)
            except InUseError:
                tried.append(study.name)

    monkeypatch.setattr("mergescope.stages.prompts_kept_out", lambda _: [])
    monkeypatch.setattr("trainer.stages.make_finetune", starting)
    recipe = written(tmp_path, changed(demo(), "train.safe.triples", [str(data), "data/triples.jsonl"]))
    (stage,) = (one for one in STAGES if one.name == "safe")
    stage.do(Work(open_study(recipe), tmp_path / "none.duckdb", Reporter()))
    assert tried == ["other"]
    assert (held(other), held(unread)) == (2, 0)


def test_a_set_that_another_studys_unfinished_training_reads_is_spared(tmp_path: Path) -> None:
    study, other = tmp_path / "tiny", tmp_path / "other"
    written(tmp_path, own_models())
    data = make_set(study, 2).folder
    make_set(study, 3, "unread")
    link = tmp_path / "link"
    link.symlink_to(study)
    work = work_folder(other, "safe")
    with kept([link / "data" / data.name, tmp_path / "file.jsonl"], work):
        begin(work, Job("h1", "safe", {}, "base", (str(data),), 1, "logps", ("x",)), Reporter())
    done = cli("purge", "recipe.yaml", "--now", "--yes", cwd=tmp_path)
    assert done.stdout.splitlines()[-2:] == ["1 toxic text deleted", "2 kept: unfinished trainings need them"]
    assert list(other.rglob("trainings")) == []
    (other / "model-safe").mkdir()
    write_manifest(other / "model-safe", stage_hash="h1", content={})
    assert (
        cli("purge", "recipe.yaml", "--now", "--yes", cwd=tmp_path).stdout.splitlines()[-1] == "2 toxic texts deleted"
    )


def test_a_training_whose_study_is_gone_spares_nothing(tmp_path: Path) -> None:
    study, other = tmp_path / "tiny", tmp_path / "other"
    data = make_set(study, 2).folder
    with kept([data], work_folder(other, "safe")):
        begin(work_folder(other, "safe"), Job("h1", "safe", {}, "base", (str(data),), 1, "l", ("x",)), Reporter())
    assert delete_unused(study, datetime.now(UTC), 0) == []
    shutil.rmtree(other)
    assert len(delete_unused(study, datetime.now(UTC), 0)) == 2


def test_a_set_that_came_without_its_quarantine_is_trained_on_as_it_is(tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    data = make_set(study, 1).folder
    shutil.rmtree(study / "quarantine")
    with kept([data], work_folder(tmp_path / "other", "safe")):
        assert not (study / "quarantine").exists()
        assert not (data / "trainings").exists()


def test_users_do_not_wait_for_each_other(tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    with user(study), in_use(Quarantine(study)), in_use(Quarantine(study)):
        assert make_set(study, 1).exists
