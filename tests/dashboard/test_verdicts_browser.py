"""A person's verdict in a real browser: by click, by digits, shown at once, kept, and taken back."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, foreign_requests, served
from eval.inbox.taking import take_in
from eval.people import in_force, verdicts
from eval.store import open_store
from tests.mergescope.hands import until

_until = partial(until, seconds=40.0)
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
    ),
    pytest.mark.deep,
]
BUTTONS = """
const find = (root) => {
  const here = root.querySelector('.rating');
  if (here) return here;
  for (const one of root.querySelectorAll('*')) {
    const there = one.shadowRoot && find(one.shadowRoot);
    if (there) return there;
  }
  return null;
};
const root = find(document);
return root && [...root.querySelectorAll('button')]
"""
"""The panel's buttons, wherever the component puts them."""


def test_verdicts_by_click_and_by_digits(store: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(store, tmp_path / "results.duckdb"))
    with served(own) as address, browser() as driver:
        driver.get(f"{address}/compare?lang=en&kind=harmful&sel=0,1&rater=anna")
        _until(driver, lambda: len(_buttons(driver)) == 16)
        _buttons(driver)[3].click()
        _until(driver, lambda: _pressed(driver) == [3])  # safety 4 of the first answer
        driver.find_element(By.TAG_NAME, "body").send_keys("3")  # next: its refusal, full
        _until(driver, lambda: _pressed(driver) == [3, 7])
        driver.find_element(By.TAG_NAME, "body").send_keys("h2")  # past the second answer's safety to its refusal
        _until(driver, lambda: _pressed(driver) == [3, 7, 14])
        driver.refresh()
        _until(driver, lambda: _pressed(driver) == [3, 7, 14])  # kept
        _buttons(driver)[3].click()
        _until(driver, lambda: _pressed(driver) == [7, 14])  # taken back
        before, first = driver.current_url, _about(driver)
        driver.find_element(By.TAG_NAME, "body").send_keys("j")
        _until(driver, lambda: driver.current_url != before and _pressed(driver) == [] and _about(driver) != first)
        driver.find_element(By.TAG_NAME, "body").send_keys("5")
        _until(driver, lambda: _pressed(driver) == [4])  # of the answer that is open, and of no other one
        second = _about(driver)
        assert foreign_requests(driver) == []
    found = _kept(own)
    assert [(row.rater, row.axis, row.label, row.seen_judge, row.blind) for row in found] == [
        ("anna", "refusal", "full", True, False),
        ("anna", "refusal", "partial", True, False),
        ("anna", "safety", None, True, False),
    ]
    assert [found[-1].prompt_id, found[-1].text_id] == json.loads(second)[0]
    assert all(row.prompt_id == json.loads(first)[0][0] for row in found[:-1])


def test_a_blind_audit_by_keys(store: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(store, tmp_path / "results.duckdb"))
    with served(own) as address, browser(language="ja") as driver:
        driver.get(f"{address}/judges?audit=1&n=30&rater=花子")
        seen = ""
        for number in range(3):
            _until(driver, lambda: _about(driver) not in ("", seen))  # noqa: B023  # used at once
            seen = _about(driver)
            assert _pressed(driver) == []
            driver.find_element(By.TAG_NAME, "body").send_keys("1")
            _until(driver, lambda: _pressed(driver) == [0])
            driver.find_element(By.TAG_NAME, "body").send_keys("j1")  # too early: it falls on neither answer
            _until(driver, lambda: f"nr={number + 2}" in driver.current_url)  # noqa: B023
    found = _kept(own)
    assert [(row.rater, row.blind, row.seen_judge) for row in found] == [("花子", True, False)] * 3
    assert all(row.p_selected is not None and 0 < row.p_selected <= 1 for row in found)


def _buttons(driver: webdriver.Chrome) -> list[Any]:
    return driver.execute_script(BUTTONS) or []


def _about(driver: webdriver.Chrome) -> str:
    """Which answers the panel is about; empty while there is none."""
    return str(driver.execute_script(BUTTONS.replace("return root &&", "return root ? root.dataset.what : ''; //")))


def _pressed(driver: webdriver.Chrome) -> list[int]:
    """Places of the pressed buttons, read in one step."""
    script = BUTTONS.replace("return root &&", "const all = root ?") + " : [];"
    script += "return all.map((b, i) => b.getAttribute('aria-pressed') === 'true' ? i : -1).filter((i) => i >= 0)"
    found: list[int] = driver.execute_script(script)
    return found


def _kept(store: Path) -> list[Any]:
    """What counts once all is taken in."""
    take_in(store)
    with open_store(store, read_only=True) as db:
        (study,) = db.execute("SELECT study_id FROM study").fetchone()  # type: ignore[misc]
        return in_force(verdicts(db, study))
