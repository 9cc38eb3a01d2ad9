"""What the libraries under us may do on their own: no telemetry ever, no network where none is needed."""

from __future__ import annotations

import os

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "STREAMLIT_SERVER_SHOW_EMAIL_PROMPT": "false",
}
"""Each library's own switch. Set before any of them is imported, and inherited by the processes that we start."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def without_telemetry() -> None:
    """Switch the libraries' telemetry off, whatever the user's environment says."""
    os.environ.update(TELEMETRY_OFF)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a fork after the first batch warns


def share_cores() -> None:
    """Let waiting threads sleep instead of spin, unless the user says otherwise; must come before torch's import.

    Spinning is 7 % faster on an idle machine and takes twice as long on a busy one (docs/log.md); the bits are equal.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def offline() -> None:
    """Keep Hugging Face's libraries off the network; must come before their first import."""
    os.environ.update(OFFLINE)
