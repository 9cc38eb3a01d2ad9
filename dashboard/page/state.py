"""What the reader has chosen: the address first, the session second, a default last.

Every choice is a query parameter, so that an address opens the same view in another browser. Moving to another
page drops the address's parameters; the session then brings the choices back and the page writes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.page import inert
from dashboard.page.inert import labels, one_line


def recall(name: str, default: str = "") -> str:
    """The choice called `name`: from the address, else from this session, else `default`.

    Writes what it finds into the address, unless it is the default.
    """
    if name in st.query_params:
        value = st.query_params[name]
        st.session_state[_kept(name)] = value
        return value
    value = str(st.session_state.get(_kept(name), default))
    if value != default:
        st.query_params[name] = value
    return value


def remember(name: str, value: str) -> None:
    """Keep a choice in the address and in the session; an empty one leaves the address."""
    st.session_state[_kept(name)] = value
    if value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def keep(name: str, value: str) -> None:
    """Keep a choice for another page of this session, without writing it into this page's address."""
    st.session_state[_kept(name)] = value


def one_of(name: str, options: Sequence[str], default: str) -> str:
    """The choice called `name` where it is among `options`, else `default`: addresses are typed by people."""
    value = recall(name, default)
    return value if value in options else default


def many_of(name: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
    """A comma-separated choice of several `options`, in the order given; the default where none is known."""
    found = [value for value in recall(name, ",".join(default)).split(",") if value in options]
    return list(dict.fromkeys(found)) or list(default)


def select(
    name: str,
    label: str,
    options: Sequence[str],
    default: str,
    show: Callable[[str], str] = str,
    *,
    hidden: bool = False,
) -> str:
    """A select box whose value is the choice `name`."""
    key = _widget(name)
    st.session_state[key] = one_of(name, options, default)
    st.selectbox(
        inert.label(label),
        options,
        format_func=_inert(options, show),
        key=key,
        label_visibility="collapsed" if hidden else "visible",
        on_change=lambda: remember(name, str(st.session_state[key])),
    )
    return str(st.session_state[key])


def toggle(name: str, label: str) -> bool:
    """A switch whose value is the choice `name`, written `1` in the address when on."""
    key = _widget(name)
    st.session_state[key] = recall(name) == "1"
    st.toggle(inert.label(label), key=key, on_change=lambda: remember(name, "1" if st.session_state[key] else ""))
    return bool(st.session_state[key])


def search(name: str, label: str, placeholder: str) -> str:
    """A line to type in whose value is the choice `name`."""
    key = _widget(name)
    st.session_state[key] = recall(name)
    st.text_input(
        inert.label(label),
        key=key,
        placeholder=placeholder,
        label_visibility="collapsed",
        on_change=lambda: remember(name, str(st.session_state[key])),
    )
    return str(st.session_state[key])


def several(
    name: str,
    label: str,
    options: Sequence[str],
    default: Sequence[str],
    show: Callable[[str], str],
    limit: int,
    placeholder: str,
) -> list[str]:
    """A select box for 1 to `limit` options whose value is the comma-separated choice `name`."""
    key = _widget(name)
    st.session_state[key] = many_of(name, options, default)[:limit]
    st.multiselect(
        inert.label(label),
        options,
        format_func=_inert(options, show),
        key=key,
        max_selections=limit,
        placeholder=placeholder,
        label_visibility="collapsed",
        on_change=lambda: remember(name, ",".join(st.session_state[key])),
    )
    return list(st.session_state[key])


def _inert(options: Sequence[str], show: Callable[[str], str]) -> Callable[[str], str]:
    """How options are shown: some are names that others gave. Streamlit tells options apart by what is shown."""
    shown = {option: show(option) for option in options}
    lines = labels([*shown.values()])
    found: dict[str, str] = {option: lines[text] for option, text in shown.items()}
    return lambda option: found.get(option) or one_line(show(option), 60)


def _kept(name: str) -> str:
    return f"kept:{name}"


def _widget(name: str) -> str:
    return f"choice_{name}"
