"""What `streamlit run` serves: the pages behind the guard. Started by dashboard/serving/serve.py."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard.serving import incidents, sign_in
from dashboard.serving.guard import HOSTS_VARIABLE, Guard, Hosts, headers

FRONT_PAGE = Path(st.__file__).parent / "static" / "index.html"
hosts = Hosts.parsed(os.environ.get(HOSTS_VARIABLE, "localhost,127.0.0.1"))
incidents.log_once()
app = st.App(
    Path(__file__).parents[1] / "app.py",
    secrets=sign_in.secrets(),
    middleware=[Middleware(Guard, hosts=hosts, headers=headers(FRONT_PAGE.read_text(encoding="utf-8")))],
    on_script_error=incidents.told,
)
