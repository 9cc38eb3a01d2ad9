"""A page that fails says so in one calm line with a reference; the reference and the traceback are in the log."""

from __future__ import annotations

import logging
import secrets
import traceback

import streamlit as st

from dashboard.page.inert import escaped
from mergescope.ground.errors import printable

LOG = logging.getLogger("mergescope.dashboard")
_TWICE = "Uncaught app execution"
"""How Streamlit's own record of the same error begins; ours has the reference, and steers no terminal."""


def told(error: Exception) -> bool:
    """Log an error that a page did not expect and tell the reader its reference; True: Streamlit shows no more."""
    from dashboard.page.frame import words  # a page's module: it wants the runtime, which this one's import precedes

    reference = secrets.token_hex(4)
    lines = "".join(traceback.format_exception(error)).splitlines()
    LOG.error("reference %s\n%s", reference, "\n".join(map(printable, lines)))
    word = words()
    text = escaped(word("failed.text", reference=reference))
    st.html(f'<div class="ms-notice" role="alert"><h2>{escaped(word("failed.title"))}</h2><p>{text}</p></div>')
    return True


def log_once() -> None:
    """Let the log name each error once, by its reference."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("streamlit.error_util").addFilter(lambda record: not record.getMessage().startswith(_TWICE))
