"""Who may open the pages from other machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, settled
from dashboard.serving import sign_in
from dashboard.serving.serve import Binding, free_port, serve
from dashboard.serving.sign_in import SignIn, check, settings
from mergescope.ground.errors import MergescopeError
from tests.dashboard.conftest import Pages, html
from tests.dashboard.provider import Person, provider
from tests.dashboard.serving import asked, dashboard

SETTINGS = """
address = "{address}"
cookie_secret_env = "TEST_COOKIE_SECRET"
[provider]
server_metadata_url = "{provider}/.well-known/openid-configuration"
client_id = "mergescope"
client_secret_env = "TEST_CLIENT_SECRET"
[access]
viewers = ["Viewer@example.org"]
editors = ["editor@example.org"]
"""
SECRETS = {"TEST_COOKIE_SECRET": "0123456789abcdef" * 4, "TEST_CLIENT_SECRET": "CANARY-client-secret"}


def written(folder: Path, provider: str = "https://id.example.org", address: str = "https://box.example.org") -> Path:
    file = folder / "sign-in.toml"
    file.write_text(SETTINGS.format(address=address, provider=provider), encoding="utf-8")
    settings.cache_clear()
    return file


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_other_machines_want_sign_in(store: Path) -> None:
    command = [sys.executable, "-m", "mergescope", "dashboard", "--store", str(store), "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "other machines would reach the results without sign-in (got '0.0.0.0'); name a file" in done.stderr


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "10.0.0.1"])
def test_no_other_address_is_served_unasked(host: str) -> None:
    with pytest.raises(MergescopeError, match="without sign-in"):
        serve(Path("results.duckdb"), None, False, Binding(host))


def test_names_are_no_addresses() -> None:
    with pytest.raises(MergescopeError, match=r"--host: not an IP address .got 'everywhere'."):
        serve(Path("results.duckdb"), None, False, Binding("everywhere"))


def test_the_explicit_flag_serves_all_the_same_but_no_foreign_name(store: Path, tmp_path: Path) -> None:
    with dashboard(store, tmp_path / "log", ["--host", "0.0.0.0", "--without-sign-in"]) as port:
        assert asked(port, "GET /", f"Host: 10.0.0.7:{port}\r\n")[0] == 200
        assert asked(port, "GET /", f"Host: evil.example:{port}\r\n")[0] == 421


@pytest.mark.usefixtures("secrets")
def test_sign_in_serves_under_its_own_name(tmp_path: Path) -> None:
    binding = Binding("0.0.0.0", written(tmp_path))
    assert "box.example.org" in binding.names()
    assert "*" not in binding.names()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://box.example.org", "http://box.example.org", "address: .*must begin with https://"),
        ("https://box.example.org", "https://box.example.org/path", "must have no path"),
        ("https://id.example.org", "http://id.example.org", "provider.server_metadata_url: .*https://"),
        ("https://id.example.org", "https://user:pass@id.example.org", "no user or password"),
        ("editor@example.org", "*@example.org", "access.editors: .*not an e-mail address"),
        ('["Viewer@example.org"]', "[]\nowners = []", "access.owners"),
        ("client_id", "client", "client"),
        ("[access]", "[access", "cannot be read"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    file = written(tmp_path)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(MergescopeError, match=told) as caught:
        settings(file)
    assert "\n" not in caught.value.line()


def test_the_documents_example_is_right(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    file = tmp_path / "example.toml"
    file.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    found = settings(file)
    assert (found.role("ann@example.org"), found.role("bob@example.org")) == ("editor", "viewer")
    assert found.host == "mergescope.example.org"


def test_lists_that_name_nobody_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    text = file.read_text(encoding="utf-8").replace('"Viewer@example.org"', "").replace('"editor@example.org"', "")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MergescopeError, match="nobody may open the pages"):
        settings(file)


@pytest.mark.usefixtures("secrets")
def test_secrets_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    assert check(file).secrets()["client_secret"] == SECRETS["TEST_CLIENT_SECRET"]
    monkeypatch.setenv("TEST_COOKIE_SECRET", "short")
    with pytest.raises(MergescopeError, match="TEST_COOKIE_SECRET: shorter than 32 characters"):
        check(file)
    monkeypatch.delenv("TEST_CLIENT_SECRET")
    monkeypatch.setenv("TEST_COOKIE_SECRET", SECRETS["TEST_COOKIE_SECRET"])
    with pytest.raises(MergescopeError, match="TEST_CLIENT_SECRET: this environment variable is not set"):
        check(file)


def test_roles_are_lists_of_addresses(tmp_path: Path) -> None:
    found: SignIn = settings(written(tmp_path))
    assert found.role("EDITOR@example.org") == "editor"
    assert found.role("viewer@example.org") == "viewer"
    assert found.role("other@example.org") is None
    assert found.role("") is None


@pytest.mark.usefixtures("secrets")
def test_nobody_sees_anything_before_sign_in(pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sign_in.SIGN_IN_VARIABLE, str(written(tmp_path)))
    for name in ("frontier", "compare", "failures", "review", "export", "runs"):
        page = pages(name)
        assert not page.exception
        assert "These results are for readers that are named to the server" in html(page)
        assert not page.get("plotly_chart")
        assert not page.selectbox
        assert [button.label for button in page.button] == ["Sign in"]


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium")
@pytest.mark.parametrize(
    ("person", "words"),
    [
        (Person("Editor@example.org"), "decide"),
        (Person("viewer@example.org"), "read"),
        (Person("other@example.org"), "other@example.org is not among the readers"),
        (Person("editor@example.org", email_verified=False), "without a verified e-mail address is not among"),
    ],
)
def test_the_journey_through_sign_in(store: Path, tmp_path: Path, person: Person, words: str) -> None:
    port = free_port()
    log = tmp_path / "log"
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "synthetic.yaml").write_text("study: synthetic\n", encoding="utf-8")
    with provider(person) as known:
        file = written(tmp_path, known.address, f"http://127.0.0.1:{port}")
        environment = {**SECRETS, "MERGESCOPE_STUDIES": str(tmp_path / "studies")}
        options = ["--sign-in", str(file), "--port", str(port)]
        with dashboard(store, log, options, environment) as _, browser() as driver:
            driver.get(f"http://127.0.0.1:{port}/export?lang=en")
            settled(driver, ".st-key-sign_in button")
            assert not driver.find_elements("css selector", ".ms-table")
            driver.find_element("css selector", ".st-key-sign_in button").click()
            settled(driver, ".st-key-sign_out button")
            driver.get(f"http://127.0.0.1:{port}/export?lang=en")
            settled(driver, ".st-key-sign_out button")
            text = driver.find_element("css selector", "body").text
            if words in ("decide", "read"):
                assert ("You may read, not decide." in text) == (words == "read")
                assert (person.email in text) == (words == "decide")
                driver.find_element("css selector", ".st-key-sign_out button").click()
                settled(driver, ".st-key-sign_in button")
            else:
                assert words in text
                assert not driver.find_elements("css selector", ".ms-table")
        assert len(known.secrets) == 1
    assert SECRETS["TEST_CLIENT_SECRET"] not in log.read_text(encoding="utf-8")
