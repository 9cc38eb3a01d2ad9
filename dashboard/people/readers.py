"""Who reads the pages, and what they may do."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

import streamlit as st

from dashboard.page.inert import escaped
from dashboard.page.language import Words
from dashboard.serving import sign_in
from dashboard.serving.sign_in import SHARED_VARIABLE
from mergescope.ground.errors import MergescopeError


@dataclass(frozen=True, slots=True)
class Reader:
    """One person before the pages."""

    name: str
    """E-mail address, or this machine's user; empty where the server cannot know."""
    may_edit: bool
    """Whether verdicts, choices and jobs are theirs to give."""
    signed_in: bool = False
    """Whether the name is the provider's word."""


def reader() -> Reader:
    """The reader of this run of a page, who has passed the `gate`."""
    settings = sign_in.configured()
    if settings is None:
        return Reader("" if os.environ.get(SHARED_VARIABLE) else _user(), may_edit=True)
    email = _email()
    return Reader(email, may_edit=settings.role(email) == "editor", signed_in=True)


def require_editor() -> None:
    """For what keeps or starts something. Raises MergescopeError where the reader may only read."""
    if not reader().may_edit:
        raise MergescopeError("viewers may read, not decide", cure="ask for a place among the server's editors")


def gate(word: Words) -> None:
    """Where readers sign in: end this run of the page for all who have not, or who are on neither list."""
    settings = sign_in.configured()
    if settings is None:
        return
    email = _email()
    if email and settings.role(email) is not None:
        return
    _closed(word, email)
    st.stop()


def leave(word: Words) -> None:
    """The signed-in reader's way out; nothing where nobody signs in."""
    if sign_in.configured() is not None:
        st.button(word("sign_in.out"), key="sign_out", type="tertiary", on_click=st.logout)


def _closed(word: Words, email: str) -> None:
    known = bool(st.user.get("is_logged_in"))
    text = word("sign_in.denied", email=email or word("sign_in.unverified")) if known else word("sign_in.text")
    title = escaped(word("sign_in.title"))
    st.html(f'<div class="ms-notice"><h2>{title}</h2><p>{escaped(text, 400)}</p></div>')
    with st.container(horizontal_alignment="center"):
        if known:
            st.button(word("sign_in.out"), key="sign_out", on_click=st.logout)
        else:
            st.button(word("sign_in.in"), key="sign_in", type="primary", on_click=st.login)


def _email() -> str:
    """The signed-in reader's address; empty where there is none or the provider has not verified it."""
    user = st.user
    if not user.get("is_logged_in") or user.get("email_verified") is not True:
        return ""
    return str(user.get("email") or "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
