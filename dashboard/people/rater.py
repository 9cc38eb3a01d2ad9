"""Who judges or reviews in this session."""

from __future__ import annotations

import streamlit as st

from dashboard.page import markup, state
from dashboard.page.language import Words
from dashboard.people import readers
from eval.inbox.slips import LONGEST_NAME
from eval.interchange.forms import is_name

_KEY = "reviewer"


def who(word: Words, label: str) -> str:
    """A line for the reader's name, with the word `label` in it.

    Empty where they may only read, where it is blank, or where it cannot be read (control characters).

    Who has signed in is whom the provider says. Else it begins with what the address says (`?rater=anna`), else with
    this machine's user, and then stays in the session: an address that is passed on shall not speak for who wrote it.
    """
    me = readers.reader()
    if me.signed_in:
        st.html(markup.note(me.name if me.may_edit else word("sign_in.viewer")))
        return me.name if me.may_edit else ""
    first = st.query_params.get("rater") or me.name
    st.session_state.setdefault(_KEY, str(st.session_state.get(f"kept:{_KEY}", first))[:LONGEST_NAME])
    st.text_input(
        word(label),
        key=_KEY,
        placeholder=word(label),
        label_visibility="collapsed",
        max_chars=LONGEST_NAME,
        on_change=lambda: state.keep(_KEY, str(st.session_state[_KEY])),
    )
    name = str(st.session_state[_KEY]).strip()
    return name if is_name(name) else ""
