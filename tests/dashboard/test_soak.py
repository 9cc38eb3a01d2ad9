"""Ten minutes of everything at once: a sweep that commits, every page open in a browser, five people who judge."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlencode

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains

from benchmarks.big_store import STUDY, Size, make_big_store
from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, settled
from benchmarks.dashboard_load import sweep
from benchmarks.store_readers import ANSWERS
from benchmarks.visitor import ALERT, visitor
from dashboard.store.answers import items
from eval.inbox.slips import waiting
from eval.inbox.taking import take_in
from eval.people import verdicts
from eval.store import open_store
from tests.dashboard.serving import dashboard
from tests.mergescope.hands import FIND, seen, until

MINUTES = 10.0
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
COUNTS = {"": r"([\d,]+) answers judged", "judges": r"big \(LLM\)\D*([\d,]+)"}
"""Pages that count what a sweep adds: the first by itself, the other when it is opened again."""
ABOUT = FIND.replace("within(document);", "within(document).dataset.what;")
"""Which answers the panel of verdicts is about."""
MAIN = '[data-testid="stMain"]'
SAFETY = ("1", "2", "3", "4", "5")


Say = Callable[[str, str], tuple[str, str]]
"""Says how safe the first answer to a prompt (by its address) is; returns the ids of prompt and text."""
Seat = Callable[[str, str], AbstractContextManager[Say]]
"""A place before the pages: of the server's address and a name."""


@contextmanager
def at_a_browser(address: str, name: str) -> Iterator[Say]:
    """Opens a prompt's address and presses a digit."""
    with browser() as driver:

        def say(key: str, value: str) -> tuple[str, str]:
            driver.get(f"{address}/compare?{urlencode({'lang': 'en', **beside(key, name)})}")
            until(driver, lambda: seen(driver, ".rating button") is not None)
            settled(driver, ".ms-card")
            ActionChains(driver).send_keys(value).perform()
            until(driver, lambda: seen(driver, ".rating button[aria-pressed='true']", value) is not None)
            prompt, text = json.loads(str(driver.execute_script(ABOUT, ".rating", "")))[0]
            return prompt, text

        yield say


@contextmanager
def without_a_browser(address: str, name: str) -> Iterator[Say]:
    """The same messages to the pages and back, at a fraction of a browser's work."""
    with visitor(address) as session:

        def say(key: str, value: str) -> tuple[str, str]:
            session.visit("compare", **beside(key, name))
            prompt, text = session.data_of("rating")["lines"][0]["id"]
            session.pick("rating", [prompt, text, "safety", value])
            mark = session.data_of("rating")["lines"][0]["marks"][0]
            assert (mark["axis"], mark["chosen"]) == ("safety", value)  # shown at once
            return prompt, text

        yield say


def beside(key: str, name: str) -> dict[str, str]:
    """What Compare's address says of one prompt's answers by two points."""
    return {"item": key, "sel": "0@1,1@1", "rater": name}


PEOPLE: dict[str, Seat] = {
    "anna": at_a_browser,
    "ben": without_a_browser,
    "花子": without_a_browser,
    "dora": without_a_browser,
    "エミ": without_a_browser,
}


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
            with PEOPLE[self.name](address, self.name) as say:
                for key in keys:
                    if time.monotonic() > until:
                        return
                    value = random.Random(f"{self.name} {key}").choice(SAFETY)
                    self.given.append((*say(key, value), float(value)))
                    time.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 -- looked at when all have ended
            self.failed = error


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium-driver")
def test_nothing_fails_and_no_verdict_is_lost(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
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
    for page, some in counts.items():
        assert len(set(some)) > MINUTES / 3, page  # it goes on, each state after 2 minutes
        assert some == sorted(some), page
    take_in(store)
    assert waiting(store) == []
    added = answers_in(store) - before
    assert added > 60 * MINUTES * ANSWERS / 5  # the sweep went on: a fifth of its speed or more
    with open_store(store, read_only=True) as db:
        found = [(row.rater, row.prompt_id, row.text_id, row.value) for row in verdicts(db, STUDY)]
    expected = [(person.name, *one) for person in people for one in person.given]
    assert all(person.given for person in people)
    assert sorted(found) == sorted(expected)  # each once
    record_property("commits", added // ANSWERS)
    record_property("verdicts", {person.name: len(person.given) for person in people})
    record_property("states shown", {page or "frontier": len(set(some)) for page, some in counts.items()})


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
) -> dict[str, list[int]]:
    """Let people judge while all tabs are looked at in turn; what the pages counted meanwhile, by page."""
    end = time.monotonic() + 60 * MINUTES
    threads = [threading.Thread(target=person.judge, args=(address, keys, end)) for person in people]
    for thread in threads:
        thread.start()
    counts: dict[str, list[int]] = {page: [] for page in COUNTS}
    reloaded = cycle(["judges", "compare", "failures", "export"])
    while time.monotonic() < end:
        driver.switch_to.window(tabs[next(reloaded)])
        driver.refresh()
        for page, tab in tabs.items():
            driver.switch_to.window(tab)
            settled(driver, PAGES[page])
            assert ALERT not in main_of(driver, "innerHTML")
            if page in COUNTS:
                counts[page].append(counted(driver, page))
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    return counts


def main_of(driver: webdriver.Chrome, what: str) -> str:
    """In one step: the page may replace its elements at any moment."""
    return str(driver.execute_script("return document.querySelector(arguments[0])[arguments[1]]", MAIN, what))


def counted(driver: webdriver.Chrome, page: str) -> int:
    text = main_of(driver, "innerText")
    found = re.search(COUNTS[page], text)
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
