"""reproduce.sh: what it asks for, and what it does before it merges."""

from __future__ import annotations

import subprocess
from pathlib import Path

from merge.points import Role
from merge.script import fetch_lines, reproduce_script
from tests.merge.conftest import a_point

VERSIONS = {"mergekit": "0.1.5", "torch": "2.13.0+cpu", "mergescope": "0.1.0", "python": "3.11.7"}


def script(rebuild: dict[Role, list[str]] | None = None) -> str:
    local: dict[Role, str] = {"base": "a" * 64, "safe": "b" * 64}
    return reproduce_script(a_point(), threads=3, level="avx2", versions=VERSIONS, local=local, rebuild=rebuild or {})


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """The script, in a folder whose name a careless script trips over, with a mergekit-yaml that only prints."""
    room = folder / "-a bundle"
    (room / "bin").mkdir(parents=True, exist_ok=True)
    (room / "reproduce.sh").write_text(text)
    stock = room / "bin" / "mergekit-yaml"
    stock.write_text('#!/bin/sh\necho "$ATEN_CPU_CAPABILITY $PWD $*"\n')
    stock.chmod(0o755)
    environment = {"PATH": f"{room / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(
        ["sh", "./-a bundle/reproduce.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_pins_can_be_installed() -> None:
    assert "pip install mergekit==0.1.5 torch==2.13.0\n" in script()
    assert "Python 3.11.7" in script()
    assert "mergescope==" not in script()


def test_a_missing_input_is_named_with_its_hash(tmp_path: Path) -> None:
    done = run(tmp_path, script())
    assert done.returncode == 1
    assert done.stdout == ""
    assert "inputs/base is missing" in done.stderr
    assert "a" * 64 in done.stderr


def test_it_runs_the_stock_command_beside_the_config(tmp_path: Path) -> None:
    for role in ("base", "safe"):
        (tmp_path / "-a bundle" / "inputs" / role).mkdir(parents=True)
        (tmp_path / "-a bundle" / "inputs" / role / "config.json").write_text("{}")
    done = run(tmp_path, script())
    assert done.returncode == 0, done.stderr
    words = f"avx2 {tmp_path}/-a bundle mergekit.yaml merged --random-seed 11 --num-threads 3 --device cpu\n"
    assert done.stdout == words


def test_an_input_that_others_make_is_made_where_it_is_missing(tmp_path: Path) -> None:
    make = ["mkdir -p inputs/base inputs/safe", "echo '{}' > inputs/safe/config.json", "echo made >&2"]
    text = script({"safe": make, "base": ["mkdir -p inputs/base; echo '{}' > inputs/base/config.json"]})
    first, second = run(tmp_path, text), run(tmp_path, text)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (first.stderr, second.stderr) == ("made\n", "")


def test_names_of_the_hub_are_quoted() -> None:
    assert fetch_lines("safe", "o/n@abc") == ["hf download o/n --revision abc --local-dir inputs/safe"]
    assert fetch_lines("safe", "o/n; rm x") == ["hf download 'o/n; rm x' --local-dir inputs/safe"]
