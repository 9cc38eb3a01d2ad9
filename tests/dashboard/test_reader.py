"""Short reads: sealed, shared by threads, the file free in between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dashboard.store import queries
from dashboard.store.reader import Reader
from eval.store import StoreHeldError, open_store
from mergescope.ground.errors import StoreError

WRITE = """
import sys
from pathlib import Path
from eval.store import open_store
with open_store(Path(sys.argv[1]), read_only=False, patience_s=0):
    pass
"""


def can_write(path: Path) -> bool:
    """Whether another process may write."""
    return subprocess.run([sys.executable, "-c", WRITE, str(path)], stderr=subprocess.DEVNULL).returncode == 0


def test_the_file_is_held_while_it_is_read_and_free_after(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "it's here.duckdb"
    path.write_bytes(store.read_bytes())
    reader = Reader(path)
    with reader.reading(0) as one:
        with reader.reading(0) as other:
            assert queries.studies(one) == queries.studies(other)
        assert queries.studies(one)
        assert not can_write(path)
    assert can_write(path)


def test_a_writer_keeps_readers_out(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    reader = Reader(path)
    with open_store(path, read_only=False), pytest.raises(StoreHeldError, match="held"), reader.reading(0):
        pass
    with reader.reading(0) as db:
        assert queries.studies(db)


def test_what_was_committed_before_a_kill_is_read(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    code = "import duckdb, os, signal, sys; db = duckdb.connect(sys.argv[1]); "
    code += "db.execute(\"INSERT INTO study VALUES ('y1_x', 'late', '{}', '')\"); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name("results.duckdb.wal").exists()
    with Reader(path).reading(0) as db:
        assert "late" in [study.name for study in queries.studies(db)]


def test_macros_are_refused_whenever_they_come(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    reader = Reader(path)
    with reader.reading(0) as db:
        queries.studies(db)
    duckdb.connect(str(path)).execute("CREATE MACRO median(x) AS 5").close()
    for _ in range(2):
        with pytest.raises(StoreError, match="foreign macro"), reader.reading(0):
            pass


@pytest.mark.parametrize("query", ["SELECT * FROM read_text('/etc/hostname')", "ATTACH '/tmp/x.db'", "SET threads = 1"])
def test_nothing_else_can_be_reached(store: Path, query: str) -> None:
    with Reader(store).reading(0) as db, pytest.raises(duckdb.Error, match=r"disabled|locked"):
        db.execute(query)


def test_the_store_cannot_be_written(store: Path) -> None:
    with Reader(store).reading(0) as db, pytest.raises(duckdb.Error, match="read-only"):
        db.execute("DELETE FROM study")
