"""The Failures page by pointer and by keyboard in a real browser: square, slice, boxes, export, review."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, foreign_requests, served, settled
from tests.eval.synthetic_store import make_synthetic_store
from tests.mergescope.hands import until
from trainer.pairs.pair_set import PairSet

_until = partial(until, seconds=30.0)
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
    ),
]


def test_from_a_square_to_pairs_that_wait_for_review(tmp_path: Path) -> None:
    store = tmp_path / "results.duckdb"
    make_synthetic_store(store, ratios=5, prompts=90)
    (tmp_path / "one.yaml").write_text("study: synthetic\n", encoding="utf-8")
    (tmp_path / "synthetic").mkdir()
    with served(store, studies=tmp_path) as address, browser(width=1024, height=1400) as driver:
        driver.get(f"{address}/failures?lang=en&pick=0.75&triples=1")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        _click_square(driver, "", "1")
        _until(driver, lambda: "pick=1" in driver.current_url)

        settled(driver, ".st-key-slices")
        _deep(driver, 'tr[data-id^="category:"]', "e.click()")
        _until(driver, lambda: "slice=category" in driver.current_url)
        _until(driver, lambda: bool(driver.find_elements(By.CSS_SELECTOR, ".st-key-widen_slice button")))

        _deep(driver, "td.tick input", "e.focus()")
        driver.switch_to.active_element.send_keys(Keys.SPACE)
        _until(driver, lambda: "1 ticked failures" in _body(driver))
        assert _deep(driver, "td.tick input", "e === e.getRootNode().activeElement")  # the keyboard stays where it was

        settled(driver, ".st-key-export_triples button:not([disabled])")
        driver.find_element(By.CSS_SELECTOR, ".st-key-export_triples button").click()
        _until(driver, lambda: "1 new pairs wait for review" in _body(driver))
        pairs = PairSet(tmp_path / "synthetic" / "data" / "failures-over-refusal")
        assert [one.status for one in pairs.reviewed()] == ["pending"]
        settled(driver, '.stPageLink a[href*="review"]')
        driver.find_element(By.CSS_SELECTOR, '.stPageLink a[href*="review"]').click()
        settled(driver, ".ms-prompt")
        assert pairs.pairs()[0].prompt in _body(driver)
        assert "pairs=failures-over-refusal" in driver.current_url

        driver.get(f"{address}/failures?lang=en&pick=1")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        settled(driver, ".st-key-failed")
        _deep(driver, 'tr[data-id*="#"]', "e.click()")
        settled(driver, ".ms-card")
        assert "r 1.00" in _body(driver)
        assert not foreign_requests(driver)


def _click_square(driver: webdriver.Chrome, category: str, handle: str) -> None:
    x, y = driver.execute_script(
        """
        const plot = document.querySelector('.js-plotly-plot'), marks = plot.data[1];
        const found = marks.customdata.findIndex((c) => c[0] === arguments[0] && c[1] === arguments[1]);
        const box = plot.getBoundingClientRect(), layout = plot._fullLayout;
        return [box.x + layout.xaxis._offset + layout.xaxis.l2p(marks.x[found]),
                box.y + layout.yaxis._offset + layout.yaxis.l2p(marks.y[found])];
        """,
        category,
        handle,
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "none" if kind == "mouseMoved" else "left", "clickCount": 1}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def _deep(driver: webdriver.Chrome, selector: str, act: str) -> object:
    """What `act` gives for the first such element e, within components too."""
    script = f"""
    const find = (root) => {{
      const own = root.querySelector(arguments[0]);
      if (own) return own;
      for (const one of root.querySelectorAll('*')) {{
        const inside = one.shadowRoot && find(one.shadowRoot);
        if (inside) return inside;
      }}
      return null;
    }};
    const e = find(document);
    if (!e) throw new Error(`nothing is ${{arguments[0]}}`);
    return {act};
    """
    return driver.execute_script(script, selector)


def _body(driver: webdriver.Chrome) -> str:
    return str(driver.find_element(By.TAG_NAME, "body").text)
