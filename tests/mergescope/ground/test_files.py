"""Files are whole or absent."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import (
    fresh_folder,
    is_done,
    read_json,
    read_manifest,
    write_atomic,
    write_json,
    write_manifest,
)


def test_write_atomic_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    write_atomic(target, "一")
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"a": float("nan")})
    assert read_json(target) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_read_json_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"a": 1,\n oops}', encoding="utf-8")
    with pytest.raises(MergescopeError, match=r"bad\.json:2: malformed JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(MergescopeError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_fresh_folder_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "old").touch()
    with fresh_folder(folder) as part:
        (part / "new").touch()
        assert (folder / "old").exists()
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_failed_block_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), fresh_folder(tmp_path / "stage") as part:
        (part / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_never_shared(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from mergescope.ground.files import fresh_folder\n"
        "with fresh_folder(Path(sys.argv[1])) as part:\n"
        "    (part / 'half').touch(); print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "stage")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    with fresh_folder(tmp_path / "stage") as part:
        assert list(part.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_two_processes_on_one_folder_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    code = (
        "import sys; from pathlib import Path; from mergescope.ground.files import fresh_folder\n"
        "with fresh_folder(Path(sys.argv[1])) as part:\n"
        "    (part / 'theirs').touch(); print('in', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with fresh_folder(folder) as part:
            (part / "ours").touch()
        assert [p.name for p in folder.iterdir()] == ["ours"]
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    assert [p.name for p in folder.iterdir()] == ["theirs"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_finished_folder_stays_where_its_successor_was_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(MergescopeError, match="was taken away; run it again"), fresh_folder(folder) as part:
        shutil.rmtree(part)
    assert [p.name for p in folder.iterdir()] == ["old"]


def test_a_stage_is_done_only_with_its_manifest_and_the_same_hash(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert not is_done(tmp_path, "h")
    write_manifest(tmp_path, stage_hash="h", content={"seed": 1})
    assert is_done(tmp_path, "h")
    assert not is_done(tmp_path, "other")
    assert read_manifest(tmp_path) == {"stage_hash": "h", "seed": 1}
    assert time.time() - (tmp_path / "manifest.json").stat().st_mtime < 60
