"""The bundle's reproduce.sh: the stock command with all that its result depends on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from merge.mergekit_yaml import OUTPUT, command
from merge.points import MergePoint, Role


def reproduce_script(
    point: MergePoint,
    *,
    threads: int,
    level: str,
    versions: Mapping[str, str],
    local: Mapping[Role, str],
    rebuild: Mapping[Role, Sequence[str]],
    trust_remote_code: bool = False,
) -> str:
    """The script's text.

    versions: of the packages to install, and of python. local: the models that lie in inputs/, each with the hash
    of its weights. rebuild: shell lines that make one of these. trust_remote_code: whether the models' own code runs.
    """
    wanted = {name: version for name, version in versions.items() if name not in ("mergescope", "python")}
    pins = " ".join(f"{name}=={version.partition('+')[0]}" for name, version in wanted.items())
    needs = "".join(_need(role, digest, rebuild.get(role, ())) for role, digest in local.items())
    return f"""#!/bin/sh
# Rebuilds the merged checkpoint in {OUTPUT}/ with stock mergekit, bit for bit. It needs Python {versions["python"]} and
#   pip install {pins}
# `mergescope verify` does the same and compares every tensor with manifest.json.
# Another seed, another number of threads or another ATEN_CPU_CAPABILITY changes the result.
set -eu
cd -- "$(dirname -- "$0")"
fail() {{ printf '%s\\n' "$1" >&2; exit 1; }}
command -v mergekit-yaml >/dev/null || fail "mergekit-yaml is missing: pip install {pins}"
{needs}export ATEN_CPU_CAPABILITY={shlex.quote(level)}
exec {shlex.join(command(point, threads, trust_remote_code=trust_remote_code))}
"""


def fetch_lines(role: Role, name: str) -> list[str]:
    """Shell lines that fetch the Hub model `name` (owner/name@revision) into inputs/<role>."""
    model, _, revision = name.partition("@")
    pinned = ["--revision", revision] if revision else []
    return [shlex.join(["hf", "download", model, *pinned, "--local-dir", f"inputs/{role}"])]


def _need(role: Role, digest: str, lines: Sequence[str]) -> str:
    if lines:
        body = "".join(f"    {line}\n" for line in lines)
        return (
            f"# inputs/{role}: sha256 of its weights {digest}\nif [ ! -e inputs/{role}/config.json ]; then\n{body}fi\n"
        )
    missing = f"inputs/{role} is missing: ln -s /where/it/lies inputs/{role} (sha256 of its weights: {digest})"
    return f'[ -e inputs/{role}/config.json ] || fail "{missing}"\n'
