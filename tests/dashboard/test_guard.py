"""Who is answered, and what every answer carries: a real server, asked byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.serving.guard import ANY_ADDRESS, Hosts, headers
from eval.store import open_store
from tests.dashboard.conftest import APP
from tests.dashboard.serving import HANDSHAKE, asked, dashboard

ALLOWED = Hosts.parsed("localhost, 127.0.0.1,::1,Box.example")


@pytest.fixture(scope="module")
def port(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with dashboard(store, tmp_path_factory.mktemp("log") / "log") as found:
        yield found


@pytest.mark.parametrize("header", ["localhost", "LOCALHOST:8501", "127.0.0.1:1", "[::1]:8501", "box.example."])
def test_own_names_are_answered(header: str) -> None:
    assert ALLOWED.allow(header)


@pytest.mark.parametrize(
    "header",
    ["", "evil.example", "localhost.evil.example", "evil.example#localhost", "localhost@evil.example", "localhost/x",
     "localhost:port", "127.0.0.1:99999", "10.0.0.7", "[::1", "localhost evil"],
)  # fmt: skip
def test_other_names_are_not(header: str) -> None:
    assert not ALLOWED.allow(header)


def test_addresses_are_answered_where_other_machines_may_ask() -> None:
    shared = Hosts.parsed(f"localhost,{ANY_ADDRESS}")
    assert shared.allow("10.0.0.7:8501")
    assert shared.allow("[fd00::7]:8501")
    assert not shared.allow("evil.example")
    assert not shared.allow(ANY_ADDRESS)


@pytest.mark.parametrize("path", ["/", "/compare", "/_stcore/health", "/_stcore/host-config", "/media/x.csv"])
def test_foreign_hosts_are_refused_on_every_path(port: int, path: str) -> None:
    status, text = asked(port, f"GET {path}", "Host: evil.example\r\n")
    assert status == 421
    assert "streamlit" not in text.lower()


def test_requests_without_one_host_are_refused(port: int) -> None:
    assert asked(port, "GET /", "")[0] in (400, 421)
    assert asked(port, "GET /", f"Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n")[0] in (400, 421)


def test_connections_of_foreign_hosts_and_pages_are_refused(port: int) -> None:
    own = f"127.0.0.1:{port}"
    path = "GET /_stcore/stream"
    assert asked(port, path, f"Host: {own}\r\nOrigin: http://{own}\r\n{HANDSHAKE}")[0] == 101
    assert asked(port, path, f"Host: evil.example\r\nOrigin: http://evil.example\r\n{HANDSHAKE}")[0] == 403
    assert asked(port, path, f"Host: {own}\r\nOrigin: http://evil.example\r\n{HANDSHAKE}")[0] == 403


def test_uploads_of_foreign_pages_are_refused(port: int) -> None:
    own = f"127.0.0.1:{port}"
    head = f"Host: {own}\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n"
    assert asked(port, "PUT /_stcore/upload_file/session/file", head)[0] == 403


@pytest.mark.parametrize("path", ["/", "/_stcore/health"])
def test_every_answer_forbids_what_is_not_ours(port: int, path: str) -> None:
    status, text = asked(port, f"GET {path}", f"Host: localhost:{port}\r\n")
    assert status == 200
    policy = next(line for line in text.splitlines() if line.lower().startswith("content-security-policy:"))
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in scripts
    assert "x-content-type-options: nosniff" in text.lower()


def test_the_front_pages_own_scripts_may_run() -> None:
    page = '<script src="a.js"></script><script>\n let a = 1\n</script><script type="module">b()</script>'
    policy = dict(headers(page))[b"content-security-policy"].decode()
    # printf '\n let a = 1\n' | openssl dgst -sha256 -binary | base64
    assert "'sha256-1ObrXxGBlC83n3wDgmyGLmYDDdLgyASjCrRhrRkVBT8='" in policy
    assert policy.count("'sha256-") == 2


def test_no_file_is_served_from_outside(port: int) -> None:
    own = f"Host: localhost:{port}\r\n"
    for path in ("/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "/media/..%2f..%2fetc/passwd", "//etc/passwd",
                 "/app/static/app.py", "/component/mergescope_sheet/../../app.py"):  # fmt: skip
        _, text = asked(port, f"GET {path}", own)
        assert "root:" not in text
        assert "[project]" not in text
        assert "import streamlit" not in text


@pytest.mark.deep
def test_the_policy_leaves_every_page_whole(port: int) -> None:
    from benchmarks.browser import browser, settled

    with browser() as driver:
        for name in sorted(file.stem for file in (APP.parent / "views").glob("[!_]*.py")):
            driver.get(f"http://127.0.0.1:{port}/{name}?kind=harmful")
            settled(driver, ".ms-table, .ms-card, .ms-notice, .js-plotly-plot .point")
        told = [entry["message"] for entry in driver.get_log("browser")]  # type: ignore[no-untyped-call]
        driver.execute_script("const s = document.createElement('script'); s.text = '1'; document.head.append(s)")
        refused = [entry["message"] for entry in driver.get_log("browser")]  # type: ignore[no-untyped-call]
    assert not [line for line in told if "Content Security Policy" in line]
    assert [line for line in refused if "Content Security Policy" in line]


@pytest.mark.deep
def test_a_page_that_fails_says_one_calm_line_and_the_log_knows_why(store: Path, tmp_path: Path) -> None:
    import re

    from benchmarks.browser import browser, settled

    path = tmp_path / "broken.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET recipe = '{\"threads\\u001b[31m\": 1}' WHERE kind = 'merge'")
    log = tmp_path / "log"
    with dashboard(path, log) as port, browser() as driver:
        driver.get(f"http://127.0.0.1:{port}/export?lang=en")
        settled(driver, ".ms-notice")
        text = driver.find_element("css selector", "body").text
    assert "Traceback" not in text
    assert "KeyError" not in text
    reference = re.search(r"reference ([0-9a-f]{8})", text)[1]  # type: ignore[index]
    told = log.read_text(encoding="utf-8")
    assert told.count("Traceback (most recent call last)") == 1
    assert told.index(f"reference {reference}") < told.index("KeyError: 'threads'")
    assert "\x1b" not in told
