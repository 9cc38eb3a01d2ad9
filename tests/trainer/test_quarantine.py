"""The quarantine keeps toxic text from other eyes, forgets it in time, and knows what it forgot."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from mergescope.ground.ids import text_hash
from trainer.quarantine import PURGED, README, PurgedError, Quarantine, ToxicRef

NOW = datetime(2031, 5, 1, tzinfo=UTC)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "study")


def used(quarantine: Quarantine, ref: ToxicRef, days_ago: float) -> None:
    at = (NOW - timedelta(days=days_ago)).timestamp()
    os.utime(quarantine.folder / f"{ref.sha256}.json", (at, at))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("text", ["悪い答え\n二行目", "", "half \ud83d a character", "\0\x1b[2J"])
def test_a_text_comes_back_as_it_was(quarantine: Quarantine, text: str) -> None:
    ref = quarantine.put(text, "fraud")
    assert ref == ToxicRef(text_hash(text), len(text), "fraud")
    assert quarantine.get(ref.sha256) == text


def test_nobody_else_can_read_it_whatever_the_umask(quarantine: Quarantine) -> None:
    before = os.umask(0)
    try:
        ref = quarantine.put("secret", "fraud")
        quarantine.purge(NOW + timedelta(days=36500), 1, ())
        quarantine.put("other", "fraud")
    finally:
        os.umask(before)
    assert mode(quarantine.folder) == 0o700
    files = [path for path in quarantine.folder.rglob("*") if path.is_file()]
    assert len(files) == 3  # the policy, a note of the first text, the second
    assert {mode(path) for path in files} == {0o600}
    assert "retention_days" in (quarantine.folder / README).read_text(encoding="utf-8")
    assert quarantine.is_purged(ref.sha256)


def test_a_folder_opened_to_others_is_closed_again(quarantine: Quarantine) -> None:
    quarantine.folder.mkdir(parents=True)
    quarantine.folder.chmod(0o755)
    quarantine.put("secret", "fraud")
    assert mode(quarantine.folder) == 0o700


def test_retention_counts_from_the_last_use(quarantine: Quarantine) -> None:
    old, young, spared = (quarantine.put(text, "fraud") for text in ("old", "young", "spared"))
    for ref, days in ((old, 90), (young, 89.9), (spared, 400)):
        used(quarantine, ref, days)
    assert quarantine.purge(NOW, 90, {spared.sha256}) == [old]
    assert quarantine.get(young.sha256) == "young"
    assert quarantine.holds(spared.sha256)
    assert quarantine.purge(datetime.now(UTC) + timedelta(days=89), 90, {spared.sha256}) == []  # it was read just now


def test_what_was_deleted_says_so_and_can_be_made_again(quarantine: Quarantine) -> None:
    ref = quarantine.put("old", "fraud")
    used(quarantine, ref, 90)
    quarantine.purge(NOW, 90, ())
    with pytest.raises(PurgedError, match="training data purged"):
        quarantine.get(ref.sha256)
    note = (quarantine.folder / PURGED / f"{ref.sha256}.json").read_text(encoding="utf-8")
    assert "fraud" in note
    assert "old" not in note
    quarantine.put("old", "fraud")
    assert quarantine.get(ref.sha256) == "old"
    assert not quarantine.is_purged(ref.sha256)


def test_responses_of_servers_are_deleted_too(quarantine: Quarantine) -> None:
    quarantine.put("x", "fraud")
    journal = quarantine.folder / "responses" / "m1.jsonl"
    journal.parent.mkdir()
    journal.write_text("what a model said", encoding="utf-8")
    deleted = quarantine.purge(datetime.now(UTC) + timedelta(seconds=1), 0, ())
    assert {(ref.category, ref.length) for ref in deleted} == {("fraud", 1), ("responses", 17)}
    assert not journal.exists()


def test_a_text_that_never_was_here_is_told_apart(quarantine: Quarantine) -> None:
    with pytest.raises(PurgedError, match="are not here"):
        quarantine.get("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", "0" * 63])
def test_no_hash_leads_out_of_the_folder(quarantine: Quarantine, name: str) -> None:
    with pytest.raises(DataError, match="no sha256"):
        quarantine.get(name)


def test_a_purge_killed_anywhere_leaves_each_text_here_or_noted(quarantine: Quarantine) -> None:
    texts = [f"text {i}" for i in range(300)]
    refs = [quarantine.put(text, "fraud") for text in texts]
    code = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime, timedelta\n"
        "from trainer.quarantine import Quarantine\n"
        "print('go', flush=True)\n"
        "Quarantine(Path(sys.argv[1])).purge(datetime.now(UTC) + timedelta(days=1), 0, ())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(quarantine.folder.parent)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not list((quarantine.folder / PURGED).glob("*.json")) and process.poll() is None:
            pass
        process.kill()
    assert any(quarantine.holds(ref.sha256) for ref in refs), "the kill came too late to prove anything"
    for text, ref in zip(texts, refs, strict=True):
        assert quarantine.is_purged(ref.sha256) or quarantine.get(ref.sha256) == text


def test_a_folder_that_is_a_link_is_refused_and_what_lies_behind_it_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("x", encoding="utf-8")
    os.utime(home / "thesis.tex", (0, 0))
    study = tmp_path / "study"
    study.mkdir()
    (study / "quarantine").symlink_to(home)
    linked = Quarantine(study)
    with pytest.raises(DataError, match="the quarantine is a link"):
        linked.purge(datetime.now(UTC), 1, ())
    with pytest.raises(DataError, match="the quarantine is a link"):
        linked.put("text", "category")
    assert [file.name for file in home.iterdir()] == ["thesis.tex"]


def test_a_damaged_file_is_deleted_like_any_other(quarantine: Quarantine) -> None:
    ref = quarantine.put("text", "category")
    damaged = quarantine.folder / f"{ref.sha256}.json"
    damaged.write_bytes(b"")
    deleted = quarantine.purge(datetime.now(UTC), 0, ())
    assert [one.category for one in deleted] == ["responses"]
    assert not damaged.exists()
