"""reproduce.sh: what it asks for, and what it does before it merges."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from merge.points import Role
from merge.script import fetch_lines, reproduce_script
from mergescope.ground.ids import text_hash
from tests.merge.conftest import a_point

VERSIONS = {"mergekit": "0.1.5", "torch": "2.13.0+cpu", "mergescope": "0.1.0", "python": "3.11.7"}
WEIGHTS = {"base": "the base's", "safe": "model-safe's"}


def script(
    fetch: dict[Role, list[str]] | None = None, rebuild: dict[Role, list[str]] | None = None, level: str = "default"
) -> str:
    roles: tuple[Role, ...] = ("base", "safe")
    local: dict[Role, dict[str, str]] = {role: {"model 1.safetensors": text_hash(WEIGHTS[role])} for role in roles}
    return reproduce_script(
        a_point(), threads=3, level=level, versions=VERSIONS, local=local, fetch=fetch or {}, rebuild=rebuild or {}
    )


def program(room: Path, name: str, says: str) -> None:
    (room / "bin").mkdir(parents=True, exist_ok=True)
    (room / "bin" / name).write_text(f"#!/bin/sh\n{says}\n")
    (room / "bin" / name).chmod(0o755)


def lay(room: Path, role: str, weights: str | None = None) -> None:
    """A model of which only names and bytes matter."""
    (room / "inputs" / role).mkdir(parents=True)
    (room / "inputs" / role / "config.json").write_text("{}")
    (room / "inputs" / role / "model 1.safetensors").write_text(weights or WEIGHTS[role])


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder whose name a careless script trips over, with a mergekit-yaml that only prints."""
    room = tmp_path / "-a bundle"
    program(room, "mergekit-yaml", 'echo "$ATEN_CPU_CAPABILITY $PWD $*"')
    program(room, "python3", 'echo "mergekit==0.1.5 torch==2.13.0"')
    return room


def run(room: Path, text: str) -> subprocess.CompletedProcess[str]:
    (room / "reproduce.sh").write_text(text)
    command = ["sh", f"./{room.name}/reproduce.sh"]
    environment = {"PATH": f"{room / 'bin'}:/usr/bin:/bin"}
    return subprocess.run(command, cwd=room.parent, env=environment, capture_output=True, text=True, check=False)


def refused(room: Path, text: str) -> str:
    done = run(room, text)
    assert done.returncode == 1
    assert done.stdout == ""  # mergekit did not run
    return done.stderr


def test_pins_can_be_installed() -> None:
    assert "pip install mergekit==0.1.5 torch==2.13.0\n" in script()
    assert "Python 3.11.7" in script()
    assert "mergescope==" not in script()


def test_a_missing_input_is_named(room: Path) -> None:
    lay(room, "base")
    assert "inputs/safe is missing: ln -s" in refused(room, script())


def test_it_runs_the_stock_command_beside_the_config(room: Path) -> None:
    for role in WEIGHTS:
        lay(room, role)
    done = run(room, script())
    assert done.returncode == 0, done.stderr
    words = f"default {room} mergekit.yaml merged --random-seed 11 --num-threads 3 --device cpu\n"
    assert done.stdout == words
    assert "model 1.safetensors: OK" in done.stderr


def test_other_weights_are_refused(room: Path) -> None:
    lay(room, "base")
    lay(room, "safe", "others")
    assert "inputs/safe holds other weights than the merge was made from" in refused(room, script())


def test_a_merge_that_is_there_is_not_written_over(room: Path) -> None:
    (room / "merged").mkdir()
    assert "merged/ is there already: move it away" in refused(room, script())


@pytest.mark.parametrize("says", ['echo "mergekit==0.1.4 torch==2.13.0"', "exit 1"])
def test_other_versions_are_refused(room: Path, says: str) -> None:
    program(room, "python3", says)
    assert "wanted: pip install mergekit==0.1.5 torch==2.13.0" in refused(room, script())


@pytest.mark.parametrize(
    ("level", "flags", "lacking"),
    [
        ("avx512", "fma avx2", "avx512f"),
        ("avx512", "fma avx2 avx512f avx512bw avx512dq", "avx512vl"),
        ("avx512", "fma avx2 avx512f avx512bw avx512dq avx512vl", None),
        ("avx2", "fma avx avx2x", "avx2"),
        ("avx2", "fma avx avx2", None),
        ("sve256", "fp asimd", "sve"),
        ("default", "", None),
    ],
)
def test_a_cpu_that_lacks_the_level_is_refused(room: Path, level: str, flags: str, lacking: str | None) -> None:
    for role in WEIGHTS:
        lay(room, role)
    (room / "cpuinfo").write_text(f"flags : {flags}\n")
    text = script(level=level).replace("/proc/cpuinfo", "cpuinfo")
    if lacking is None:
        assert run(room, text).stdout.startswith(level)
    else:
        assert f"this CPU has no {lacking}," in refused(room, text)


def made(role: str) -> list[str]:
    folder = f"inputs/{role}"
    return [
        f"mkdir -p {folder}",
        f"echo '{{}}' > {folder}/config.json",
        f"printf %s \"{WEIGHTS[role]}\" > '{folder}/model 1.safetensors'",
        f"echo {role} was made >&2",
    ]


def test_an_adapter_is_merged_where_its_model_is_missing(room: Path) -> None:
    lay(room, "base")
    text = script(rebuild={"safe": made("safe")})
    assert "Mergescope 0.1.0 (with its peft) merges first" in text
    assert "mergescope is missing: install Mergescope 0.1.0" in refused(room, text)
    program(room, "mergescope", "")
    first, second = run(room, text), run(room, text)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "safe was made" in first.stderr
    assert "safe was made" not in second.stderr


def test_a_fetch_that_was_cut_off_is_taken_up_again(room: Path) -> None:
    lay(room, "safe")
    cut = [*made("base")[:2], "echo cut off >&2", "exit 7"]
    assert run(room, script(fetch={"base": cut})).returncode == 7
    first, second = (run(room, script(fetch={"base": made("base")})) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert "base was made" in first.stderr
    assert "base was made" not in second.stderr


def test_nothing_is_fetched_into_a_folder_that_was_linked(room: Path, tmp_path: Path) -> None:
    lay(room, "safe")
    lay(tmp_path, "base")
    (room / "inputs" / "base").symlink_to(tmp_path / "inputs" / "base")
    done = run(room, script(fetch={"base": made("base")}))
    assert done.returncode == 0
    assert "base was made" not in done.stderr


def test_names_of_the_hub_are_quoted() -> None:
    assert fetch_lines("safe", "o/n@abc") == ["hf download o/n --revision abc --local-dir inputs/safe"]
    assert fetch_lines("safe", "o/n; rm x") == ["hf download 'o/n; rm x' --local-dir inputs/safe"]
