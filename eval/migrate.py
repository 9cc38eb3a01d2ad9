"""The store's schema, step by step: `migrations/NNN_*.sql` in order, applied names kept in the file."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import duckdb

from mergescope.ground.errors import StoreError


def migration_names() -> list[str]:
    """All migrations of this version, in order, such as `001_first_tables`."""
    folder = resources.files("eval") / "migrations"
    return sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql"))


def applied_names(connection: duckdb.DuckDBPyConnection) -> list[str] | None:
    """Names of the migrations that made this file; None where it is no store of ours; empty for a fresh file."""
    try:  # to list the tables first takes ten times as long, and every page that opens the store asks
        return [row[0] for row in connection.execute("SELECT name FROM schema_version ORDER BY name").fetchall()]
    except duckdb.CatalogException:
        return None if connection.execute("SELECT 1 FROM duckdb_tables()").fetchall() else []


def check_version(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raises StoreError where the file is a foreign database or was made by a newer version."""
    applied = applied_names(connection)
    if applied is None:
        raise StoreError("a database, but not a results file of mergescope", where=path, cure="name another --store")
    if unknown := sorted(set(applied) - set(migration_names())):
        raise StoreError("made by a newer version", where=path, value=unknown[-1], cure="update mergescope")


def pending(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the migrations that this file still lacks, in order."""
    applied = applied_names(connection) or []
    return [name for name in migration_names() if name not in applied]


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Apply what is pending, each step and its name in one transaction."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT current_timestamp)"
    )
    for name in pending(connection):
        connection.begin()
        connection.execute((resources.files("eval") / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO schema_version (name) VALUES (?)", [name])
        connection.commit()


def back_up(path: Path, before: str) -> Path | None:
    """Copy a closed store beside itself before the migration `before`; None where it holds nothing yet."""
    if before == migration_names()[0]:
        return None
    copy = path.with_name(f"{path.name}.before-{before}")
    part = copy.with_name(f".{copy.name}.part")
    shutil.copy2(path, part)
    wal = path.with_name(f"{path.name}.wal")
    if wal.exists():
        shutil.copy2(wal, copy.with_name(f"{copy.name}.wal"))
    part.replace(copy)
    return copy
