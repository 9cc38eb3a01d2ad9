"""Ten minutes of everything at once: a sweep that commits, every page open in a browser, five people who judge."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from benchmarks.big_store import STUDY, Size, make_big_store
from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, settled
from benchmarks.dashboard_load import sweep
from benchmarks.visitor import ALERT, Visitor, visitor
from dashboard.store.answers import items
from eval.inbox.slips import waiting
from eval.inbox.taking import take_in
from eval.people import verdicts
from eval.store import open_store
from tests.dashboard.serving import dashboard

MINUTES = 10.0
PEOPLE = ("anna", "ben", "花子", "dora", "エミ")
PAUSE_S = 4.0
"""Seconds between two verdicts of one person."""
PAGES = {
    "": ".js-plotly-plot",
    "compare": ".ms-card",
    "failures": ".js-plotly-plot",
    "judges": ".ms-table",
    "review": ".ms-notice",  # of a study without made pairs
    "export": ".ms-table",
    "runs": ".ms-notice",  # without a recipe
}
"""Every page, and what it shows last."""
MAIN = '[data-testid="stMain"]'
SAFETY = ("1", "2", "3", "4", "5")


@dataclass
class Person:
    """Somebody who gives one verdict after another, each on another prompt."""

    name: str
    given: list[tuple[str, str, float]] = field(default_factory=list)
    """Prompt, text and safety."""
    failed: Exception | None = None

    def judge(self, address: str, keys: Sequence[str], until: float) -> None:
        """Open one prompt after the other and say how safe the first answer is."""
        try:
            with visitor(address) as session:
                for key in keys:
                    if time.monotonic() > until:
                        return
                    self._say(session, key)
                    time.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 -- looked at when all have ended
            self.failed = error

    def _say(self, session: Visitor, key: str) -> None:
        session.visit("compare", item=key, sel="0@1,1@1", rater=self.name)
        prompt, text = session.data_of("rating")["lines"][0]["id"]
        value = random.Random(f"{self.name} {key}").choice(SAFETY)
        session.pick("rating", [prompt, text, "safety", value])
        self.given.append((prompt, text, float(value)))
        mark = session.data_of("rating")["lines"][0]["marks"][0]
        assert (mark["axis"], mark["chosen"]) == ("safety", value)  # shown at once


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium-driver")
def test_nothing_fails_and_no_verdict_is_lost(tmp_path: Path) -> None:
    store, log = tmp_path / "results.duckdb", tmp_path / "log"
    make_big_store(store, Size(6, 3000, references=True))
    before = answers_in(store)
    people = [Person(name) for name in PEOPLE]
    with ExitStack() as stack:
        port = stack.enter_context(dashboard(store, log))
        driver = stack.enter_context(browser())
        tabs = opened(driver, f"http://127.0.0.1:{port}")
        stack.enter_context(sweep(store, commits=int(60 * MINUTES)))
        counts = watched(driver, tabs, people, f"http://127.0.0.1:{port}", harmful(store))
    assert [person.failed for person in people if person.failed] == []
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert len(set(counts)) > MINUTES / 3  # the open page goes on, each state after 2 minutes
    assert counts == sorted(counts)
    take_in(store)
    assert waiting(store) == []
    assert answers_in(store) > before + 60 * MINUTES * 200 / 5  # the sweep went on: a fifth of its speed or more
    with open_store(store, read_only=True) as db:
        found = [(row.rater, row.prompt_id, row.text_id, row.value) for row in verdicts(db, STUDY)]
    expected = [(person.name, *one) for person in people for one in person.given]
    assert all(person.given for person in people)
    assert sorted(found) == sorted(expected)  # each once


def opened(driver: webdriver.Chrome, address: str) -> dict[str, str]:
    """Every page in a tab of its own: handle by name."""
    tabs: dict[str, str] = {}
    for page, ready in PAGES.items():
        if tabs:
            driver.switch_to.new_window("tab")
        driver.get(f"{address}/{page}?lang=en")
        settled(driver, ready)
        tabs[page] = driver.current_window_handle
    return tabs


def watched(
    driver: webdriver.Chrome, tabs: dict[str, str], people: Sequence[Person], address: str, keys: Sequence[str]
) -> list[int]:
    """Let people judge while all tabs are looked at in turn; the answers that the open Frontier page counted."""
    until = time.monotonic() + 60 * MINUTES
    threads = [threading.Thread(target=person.judge, args=(address, keys, until)) for person in people]
    for thread in threads:
        thread.start()
    counts: list[int] = []
    while time.monotonic() < until:
        for page, tab in tabs.items():
            driver.switch_to.window(tab)
            assert ALERT not in driver.find_element(By.CSS_SELECTOR, '[data-testid="stMain"]').get_attribute(
                "innerHTML"
            )
            settled(driver, PAGES[page])
            if page == "":
                counts.append(counted(driver))
        driver.switch_to.window(tabs[random.Random(len(counts)).choice(["compare", "failures", "judges", "export"])])
        driver.refresh()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    return counts


def counted(driver: webdriver.Chrome) -> int:
    text = driver.find_element(By.CSS_SELECTOR, ".ms-strip").text
    found = re.search(r"([\d,]+) answers judged", text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def harmful(store: Path) -> list[str]:
    """Addresses of the prompts that people judge the safety of."""
    with open_store(store, read_only=True) as db:
        return [item.key.address for item in items(db, STUDY) if item.kind == "harmful"]


def answers_in(store: Path) -> int:
    with open_store(store, read_only=True) as db:
        (count,) = db.execute("SELECT count(*) FROM answer").fetchall()[0]
    return int(count)
