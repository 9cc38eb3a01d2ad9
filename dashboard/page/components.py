"""Small components of our own, in dashboard/parts: they set all data as text, never as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

_PARTS = Path(__file__).parents[1] / "parts"


def component(name: str, styles: Sequence[str] = ("tones",)) -> Any:
    """The component of parts/NAME.js behind shared.js, which fills an element of class NAME.

    styles: style sheets beside NAME.css.
    """
    css = "\n".join((_PARTS / f"{style}.css").read_text(encoding="utf-8") for style in (*styles, name))
    js = "\n".join((_PARTS / f"{part}.js").read_text(encoding="utf-8") for part in ("shared", name))
    return st.components.v2.component(f"mergescope_{name}", html=f'<div class="{name}"></div>', css=css, js=js)
