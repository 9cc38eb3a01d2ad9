"""Entry point of the pages: `python -m streamlit run dashboard/app.py`; normally through `mergescope dashboard`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.charts.colours import palette
from dashboard.page import state
from dashboard.page.frame import words
from dashboard.page.inert import escaped, one_line
from dashboard.page.language import LANGUAGES
from dashboard.people import readers, reveals
from dashboard.store import queries
from dashboard.store.place import store_path
from dashboard.store.source import ask, look
from mergescope.ground.errors import StoreError

PAGES = ("frontier", "compare", "failures", "judges", "review", "export", "runs")
HERE = Path(__file__).parent


def main() -> None:
    """Header, navigation and the chosen page."""
    st.set_page_config(page_title="Mergescope", layout="wide", initial_sidebar_state="collapsed")
    word = words()
    st.html(HERE / "theme" / "style.css")
    colours = palette(st.context.theme.type)
    st.html(f"<style>:root {{ --ms-accent: {colours.accent}; --ms-page: {colours.background}; }}</style>")
    readers.gate(word)
    look()
    pages = [
        st.Page(HERE / "views" / f"{name}.py", title=word(f"page.{name}"), url_path=name, default=name == PAGES[0])
        for name in PAGES
    ]
    page = st.navigation(pages, position="top")
    _tools(word.language)
    reveals.watch(page.url_path or PAGES[0])
    page.run()


def _tools(language: str) -> None:
    """Study and language, laid into the header's right side by the style sheet."""
    word = words()
    with st.container(key="tools", horizontal=True, vertical_alignment="center", gap="small"):
        names = _study_names()
        if len(names) > 1:
            state.select("study", word("header.study"), names, names[0], hidden=True)
        elif names:
            name = escaped(one_line(names[0], 64))
            st.html(f'<span class="ms-study">{escaped(word("header.study"))} <b>{name}</b></span>')
        other = next(code for code in LANGUAGES if code != language)
        st.button(LANGUAGES[other], key="language", type="tertiary", on_click=state.remember, args=("lang", other))
        readers.leave(word)


def _study_names() -> list[str]:
    try:
        return [study.name for study in ask(queries.studies)] if store_path().exists() else []
    except StoreError:
        return []  # the page itself says what is wrong with the store


main()
