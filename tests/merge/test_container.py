"""The Dockerfile: pinned, offline, not root, and honest about its size. Nothing here can build it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from merge.container import IMAGE_BYTES, LIMIT_BYTES, VLLM, dockerfile, fits_container

ROOT = Path(__file__).parents[2]
TEXT = dockerfile(26_000_000_000, "bfloat16", has_checkpoint=True)
LINES = [line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line and not line.startswith("#")]
BY_WORD = {line.partition(" ")[0]: line.partition(" ")[2] for line in LINES}


def test_the_image_is_the_vllm_that_this_project_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["optional-dependencies"]["vllm"] == [f"vllm=={VLLM}"]
    assert BY_WORD["FROM"] == f"vllm/vllm-openai:v{VLLM}"


def test_nothing_is_fetched_and_nobody_is_told() -> None:
    assert set(BY_WORD) == {
        "FROM",
        "ENV",
        "COPY",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }  # no RUN, no ADD
    assert len(BY_WORD) == len(LINES)
    variables = dict(pair.split("=") for pair in BY_WORD["ENV"].split())
    for name in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "VLLM_NO_USAGE_STATS",
        "DO_NOT_TRACK",
    ):
        assert variables[name] == "1"
    assert set(re.findall(r"https?://([\w.]+)", TEXT)) == {"127.0.0.1"}
    assert "docker run --rm --name merge --network none" in TEXT


def test_it_serves_the_bundles_checkpoint_as_no_root() -> None:
    assert BY_WORD["COPY"] == "--chown=2000:0 checkpoint/ /checkpoint/"
    assert BY_WORD["USER"] == "2000:0"
    entry = json.loads(BY_WORD["ENTRYPOINT"])
    assert entry[:3] == ["vllm", "serve", "/checkpoint"]
    assert entry[entry.index("--dtype") + 1] == "bfloat16"
    port = entry[entry.index("--port") + 1]
    probe = json.loads(BY_WORD["HEALTHCHECK"].partition(" CMD ")[2] or BY_WORD["HEALTHCHECK"].partition("CMD ")[2])
    assert probe[:2] == ["python3", "-c"]
    assert f"http://127.0.0.1:{port}/health" in probe[2]
    compile(probe[2], "healthcheck", "exec")
    assert BY_WORD["EXPOSE"] == port


@pytest.mark.parametrize(
    ("size", "words"),
    [(26_000_000_000, "This one takes 26 GB."), (161_000_000_000, "Too large: this one takes 161 GB.")],
)
def test_it_says_whether_it_stays_below_the_limit(size: int, words: str) -> None:
    text = dockerfile(size, "bfloat16", has_checkpoint=True)
    assert words in text
    assert "at most 200 GB" in text
    assert fits_container(size) == (size + IMAGE_BYTES <= LIMIT_BYTES)
