"""axe-core on every page, light and dark, and what a keyboard reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, served, settled
from tests.dashboard.accessibility import Finding, findings
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_set

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium"),
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "accessibility.md"
KNOWN = re.findall(r"^\| `([\w-]+)` \| `([^`]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.M)
"""Rule and selector of the findings in parts that are not ours."""
PAGES = {
    "frontier": ("", ".js-plotly-plot .scatterlayer .point"),
    "compare": ("kind=harmful&sel=0,0.5,base", ".ms-card"),
    "failures": ("pick=1", ".js-plotly-plot"),
    "judges": ("", ".ms-table"),
    "judges, audit": ("audit=1", ".ms-prompt"),
    "review": ("", ".ms-prompt"),
    "export": ("", ".ms-table"),
    "runs": ("", ".ms-table"),
}
CLICKABLE = """
const found = [];
const walk = (root) => {
  for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) walk(e.shadowRoot);
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height || e.closest('.js-plotly-plot, [aria-hidden="true"], [inert]')) continue;
    if (getComputedStyle(e).visibility === 'hidden') continue;
    if (e.closest('.stSelectbox, .stMultiSelect') && e.tagName !== 'INPUT') continue;  // parts of a box that is reached
    const natural = e.matches('button:not(:disabled), a[href], input:not([type=hidden]):not(:disabled), textarea');
    if (natural || (e.onclick && !e.matches('label, td:has(input)'))) found.push(e);
  }
};
walk(document.querySelector('.stApp'));
"""
UNREACHABLE = CLICKABLE + "return found.filter((e) => e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 150));"
COUNT = CLICKABLE + "return found.filter((e) => e.tabIndex >= 0).length;"
FOCUSED = """
let e = document.activeElement;
while (e && e.shadowRoot && e.shadowRoot.activeElement) e = e.shadowRoot.activeElement;
if (!e || e === document.body) return null;
window.stops = window.stops || new Map();
if (!window.stops.has(e)) window.stops.set(e, window.stops.size);
return [window.stops.get(e), e.outerHTML.slice(0, 120)];
"""


def test_the_document_names_at_most_ten() -> None:
    assert len(KNOWN) <= 10


@pytest.fixture(scope="module")
def address(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    room = tmp_path_factory.mktemp("studies")
    written(room, own_models())
    make_set(room / "tiny", 3)
    with served(store, studies=room) as found:
        yield found


@pytest.fixture(scope="module", params=[("light", "en"), ("dark", "ja")], ids="-".join)
def driver(request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    theme, language = request.param
    with browser(dark=theme == "dark", language=language) as found:
        found.set_script_timeout(60)
        yield found


def opened(driver: webdriver.Chrome, address: str, name: str) -> None:
    query, ready = PAGES[name]
    page = name.partition(",")[0]
    driver.get(f"{address}/{'' if page == 'frontier' else page}?{query}")
    settled(driver, ready)


@pytest.mark.parametrize("name", PAGES)
def test_no_serious_finding_but_the_known_ones(address: str, driver: webdriver.Chrome, name: str) -> None:
    opened(driver, address, name)
    serious = _serious(driver)
    if name == "compare":
        driver.find_element("css selector", ".ms-reveal input").click()
        serious += _serious(driver)
    if name == "review":
        driver.find_element("css selector", ".st-key-edit button").click()
        settled(driver, "textarea")
        serious += _serious(driver)
    else:
        for box in driver.find_elements("css selector", ".stSelectbox input")[:1]:
            box.send_keys(Keys.ARROW_DOWN)
            settled(driver, '[role="listbox"]')
            serious += [found for found in _serious(driver) if found.certain]  # all else is inert meanwhile
    assert serious == []


def test_notices_have_no_serious_finding(driver: webdriver.Chrome, tmp_path: Path) -> None:
    with served(tmp_path / "none.duckdb", studies=tmp_path) as address:
        for name in {name.partition(",")[0] for name in PAGES}:
            driver.get(f"{address}/{'' if name == 'frontier' else name}")
            settled(driver, ".ms-notice")
            assert _serious(driver) == []


@pytest.mark.parametrize("name", PAGES)
def test_whatever_can_be_clicked_is_reached_by_keyboard(address: str, name: str) -> None:
    with browser(height=1400) as driver:
        opened(driver, address, name)
        assert driver.execute_script(UNREACHABLE) == []
        wanted = driver.execute_script(COUNT)
        assert wanted > 5
        body = driver.find_element("tag name", "body")
        stops: set[int] = set()
        for _ in range(3 * wanted + 20):
            body.send_keys(Keys.TAB)
            found = driver.execute_script(FOCUSED)
            if found is not None:
                stops.add(found[0])
        assert len(stops) >= wanted - _grouped(driver)


def _grouped(driver: webdriver.Chrome) -> int:
    """Members of groups that the arrow keys step through: one Tab stop each."""
    count: int = driver.execute_script(
        "return [...document.querySelectorAll('[role=radiogroup], [role=tablist], [role=grid]')]"
        ".reduce((n, g) => n + g.querySelectorAll('button, input').length, 0)"
    )
    return count


def _serious(driver: webdriver.Chrome) -> list[Finding]:
    return [found for found in findings(driver) if found.is_serious and not _is_known(driver, found)]


def _is_known(driver: webdriver.Chrome, found: Finding) -> bool:
    return any(
        found.rule == rule
        and driver.execute_script(
            "const e = document.querySelector(arguments[0]); return !!e && !!e.closest(arguments[1])",
            found.target,
            selector,
        )
        for rule, selector in KNOWN
    )
