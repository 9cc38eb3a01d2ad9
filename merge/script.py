"""The bundle's reproduce.sh: the stock command with all that its result depends on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from merge.mergekit_yaml import INPUTS, OUTPUT, command
from merge.points import MergePoint, Role

CPU_FLAGS = {
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"),
    "sve256": ("sve",),
}
"""What /proc/cpuinfo lists where torch's kernels of a level run; torch itself believes ATEN_CPU_CAPABILITY, and dies of
the first instruction that the CPU lacks."""
VERSIONS = (
    "from importlib.metadata import version; "
    'print(*(p + "==" + version(p).partition("+")[0] for p in ("mergekit", "torch")))'
)
"""Python that prints what is installed."""


def reproduce_script(
    point: MergePoint,
    *,
    threads: int,
    level: str,
    versions: Mapping[str, str],
    local: Mapping[Role, Mapping[str, str]],
    fetch: Mapping[Role, Sequence[str]],
    rebuild: Mapping[Role, Sequence[str]],
    trust_remote_code: bool = False,
) -> str:
    """The script's text.

    versions: of the packages to install, and of python. local: the models that lie in inputs/, each with the sha256 of
    its weight files by name. fetch, rebuild: shell lines that fetch or make one of these; `mergescope adapt` makes one
    whole or not at all, while a fetch can be cut off. trust_remote_code: whether the models' own code runs.
    """
    packages = {name: version for name, version in versions.items() if name not in ("mergescope", "python")}
    pins = {name: f"{name}=={version.partition('+')[0]}" for name, version in packages.items()}
    install = f"pip install {' '.join(pins.values())}"
    needs = "".join(_need(role, files, fetch.get(role, ()), rebuild.get(role, ())) for role, files in local.items())
    return f"""#!/bin/sh
# Rebuilds the merged checkpoint in {OUTPUT}/ with stock mergekit, bit for bit. It needs Python {versions["python"]} and
#   {install}
# `mergescope verify` does the same and compares every tensor with manifest.json.
# Another seed, another number of threads or another ATEN_CPU_CAPABILITY changes the result.
set -eu
cd -- "$(dirname -- "$0")"
fail() {{ printf '%s\\n' "$1" >&2; exit 1; }}
sums() {{ if command -v sha256sum >/dev/null; then sha256sum -c - >&2; else shasum -a 256 -c - >&2; fi; }}
[ ! -e {OUTPUT} ] || fail "{OUTPUT}/ is there already: move it away"
{_cpu_check(level)}stock=$(command -v mergekit-yaml) || fail "mergekit-yaml is missing: {install}"
python=$(sed -n '1s/^#! *//p' "$stock")
case $python in *python*) ;; *) python=python3 ;; esac
have=$($python -c '{VERSIONS}') || have="not found by $python"
[ "$have" = "{pins["mergekit"]} {pins["torch"]}" ] || fail "mergekit and torch: $have; wanted: {install}"
{_mergescope_check(rebuild, versions)}{needs}export ATEN_CPU_CAPABILITY={shlex.quote(level)}
exec {shlex.join(command(point, threads, trust_remote_code=trust_remote_code))}
"""


def fetch_lines(role: Role, name: str) -> list[str]:
    """Shell lines that fetch the Hub model `name` (owner/name@revision) into inputs/<role>."""
    model, _, revision = name.partition("@")
    pinned = ["--revision", revision] if revision else []
    return [shlex.join(["hf", "download", model, *pinned, "--local-dir", f"inputs/{role}"])]


def _cpu_check(level: str) -> str:
    """Nothing is known, and nothing checked, where there is no /proc/cpuinfo."""
    if level not in CPU_FLAGS:
        return ""
    return f"""for flag in {" ".join(CPU_FLAGS[level])}; do
    [ ! -r /proc/cpuinfo ] || grep -qw "$flag" /proc/cpuinfo ||
        fail "this CPU has no $flag, and the merge was made at kernel level {level}: run it on a CPU that has it"
done
"""


def _mergescope_check(rebuild: Mapping[Role, Sequence[str]], versions: Mapping[str, str]) -> str:
    if not rebuild:
        return ""
    wanted = f"Mergescope {versions['mergescope']} (with its peft)"
    return f"""# One model is a base and an adapter, which {wanted} merges first:
# `mergescope adapt` is no part of mergekit, and pip does not install it with the line above.
command -v mergescope >/dev/null || fail "mergescope is missing: install {wanted} beside mergekit"
"""


def _need(role: Role, files: Mapping[str, str], fetch: Sequence[str], rebuild: Sequence[str]) -> str:
    """Lines that see to it that inputs/<role> is there, made or fetched, with the weights that were merged."""
    folder = INPUTS[role].removeprefix("./")
    if rebuild:
        there = f"if [ ! -e {folder}/config.json ]; then\n{_indented(rebuild)}fi\n"
    elif fetch:  # a link is the user's own folder; the mark is set when all is there, for a fetch resumes
        mark = f"inputs/.{role}-fetched"
        there = f"if [ ! -L {folder} ] && [ ! -e {mark} ]; then\n{_indented([*fetch, f': > {mark}'])}fi\n"
    else:
        there = f'[ -e {folder}/config.json ] || fail "{folder} is missing: ln -s /where/it/lies {folder}"\n'
    lines = " ".join(shlex.quote(f"{digest}  {name}") for name, digest in files.items())
    check = f"printf '%s\\n' {lines} | (cd {folder} && sums)"
    return f'{there}{check} || fail "{folder} holds other weights than the merge was made from"\n'


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)
