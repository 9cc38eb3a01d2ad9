"""An address that is passed on: whatever a reader has set on a page, another browser shows the same view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, served, settled
from tests.mergescope.hands import Mouse, until
from tests.mergescope.recipes import changed, own_models, written
from tests.trainer.pairs.made import make_set

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
    ),
    pytest.mark.deep,
]
VIEW = """
const found = [];
const walk = (node) => {
  if (node.nodeType === Node.TEXT_NODE) { if (node.data.trim()) found.push(node.data.trim()); return; }
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches('style, script, .st-key-reviewer')) return;
  if (node.matches('input, textarea')) found.push(`${node.type} ${node.checked} ${node.value}`);
  for (const name of ['aria-pressed', 'aria-current'])
    if (node.hasAttribute(name)) found.push(`${name} ${node.getAttribute(name)}`);
  for (const one of [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes]) walk(one);
};
walk(document.querySelector('[data-testid="stMain"]'));
return found;
"""
"""All that a page says and how its fields stand, but for the reader's own name."""


@pytest.fixture(scope="module")
def address(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    room = tmp_path_factory.mktemp("studies")
    written(room, own_models())
    written(room, changed(own_models(), "study", "other"), "other.yaml")
    make_set(room / "tiny", 3)
    with served(store, studies=room) as found:
        yield found


def frontier(user: Mouse) -> None:
    user.press(".st-key-rule_add button")
    _asked(user, "rule")
    user.choose("best", "most ordinary")
    _asked(user, "best")
    user.choose("pick", "r 0.25")
    _asked(user, "pick=0.25")
    user.choose("baseline", "base")
    _asked(user, "baseline=base")
    user.choose("colour", "violation")
    _asked(user, "colour=violation_rate")


def compare(user: Mouse) -> None:
    user.choose("kind", "borderline")
    _asked(user, "kind=borderline")
    user.press(".st-key-choice_diff label")
    _asked(user, "diff=1")
    user.press(".strip button[aria-pressed=false]")
    _asked(user, "sel")
    ActionChains(user.driver).send_keys("j").perform()
    _asked(user, "item")


def failures(user: Mouse) -> None:
    user.choose("fault", "unsafe answer")
    _asked(user, "fault=unsafe")
    user.choose("pick", "r 0.00")
    _asked(user, "pick=0")


def judges(user: Mouse) -> None:
    user.press(".st-key-choice_audit label")
    _asked(user, "audit=1")
    user.choose("n", "30")
    _asked(user, "n=30")
    user.press(".st-key-audit_next button")
    _asked(user, "nr=2")


def review(user: Mouse) -> None:
    user.choose("status", "all")
    _asked(user, "status=all")
    user.press(".sheet tbody tr:nth-child(2)")
    _asked(user, "pair")


def export(user: Mouse) -> None:
    user.choose("pick", "r 0.75")
    _asked(user, "pick=0.75")
    user.press(".st-key-checklist_next button")
    _asked(user, "reading")


def runs(user: Mouse) -> None:
    user.choose("run", "tiny")
    _asked(user, "run=tiny")


PAGES: dict[str, tuple[str, Callable[[Mouse], None]]] = {
    "Frontier": (".js-plotly-plot .scatterlayer .point", frontier),
    "Compare": (".ms-card", compare),
    "Failures": (".js-plotly-plot .point", failures),
    "Judges": (".ms-table, .ms-prompt", judges),
    "Review": (".ms-prompt", review),
    "Choose and export": (".ms-checked", export),
    "Runs": (".ms-strip", runs),
}
"""Every page by its title: what it shows last, and what a reader sets there."""


def test_the_address_of_every_page_opens_the_same_view(address: str) -> None:
    """One session goes through all pages, so that what it has set on one is in play on the next."""
    shared: dict[str, tuple[str, list[str]]] = {}
    with browser() as driver:
        driver.get(f"{address}/?lang=en&rater=anna")
        for title, (ready, act) in PAGES.items():
            user = Mouse(driver)
            user.press('[data-testid="stTopNavLink"]', title)
            settled(driver, ready)
            before = driver.current_url, _view(driver, ready)
            act(user)
            shared[title] = driver.current_url, _view(driver, ready)
            assert shared[title][0] != before[0]
            assert shared[title][1] != before[1]
    for title, (url, view) in shared.items():
        with browser() as driver:
            driver.get(url)
            assert _view(driver, PAGES[title][0]) == view, url


def _view(driver: webdriver.Chrome, ready: str) -> list[str]:
    settled(driver, ready)
    found: list[str] = driver.execute_script(VIEW)
    return found


def _asked(user: Mouse, wanted: str) -> None:
    """Wait for a parameter of the address, `name` with any value or `name=value`, and for what it makes of the page."""
    driver = user.driver

    def there() -> bool:
        parts = urlsplit(driver.current_url).query.split("&")
        return any(wanted in (part, part.partition("=")[0]) for part in parts)

    until(driver, there)
    settled(driver, '[data-testid="stMain"]')
