"""Hostile texts on every page of a real browser: nothing runs, nothing is fetched, nothing moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, foreign_requests, served, settled
from tests.dashboard.hostile import HOSTILE, NAMES, SURROGATES, hostile_store
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_pair
from trainer.pairs.pair_set import PairSet

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium"),
]
PAGES = {
    "frontier": ("", ".js-plotly-plot .scatterlayer .point"),
    "compare": ("sel=0,0.5,base,1&kind=harmful", ".ms-card"),
    "compare, all": ("sel=model-safe,0.25", ".ms-card"),
    "compare, by address": ("q=%3Cscript%3Ewindow.owned%3D1%3C/script%3E&sel=%3Cimg%20src%3Dx%3E", ".ms-note"),
    "failures": ("fault=over_refusal&pick=1", ".js-plotly-plot"),
    "failures, unscored": ("fault=unscored&pick=0", ".js-plotly-plot"),
    "judges": ("", ".ms-table"),
    "judges, audit": ("audit=1", ".ms-prompt"),
    "review": ("", ".ms-prompt"),
    "export": ("", ".ms-table"),
    "runs": ("", ".ms-strip"),
}  # fmt: skip
ACTIVE_PARTS = """
const found = [];
const walk = (root) => {
  for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) walk(e.shadowRoot);
    for (const a of e.attributes) {
      if (a.name.startsWith('on')) found.push(`${e.tagName} ${a.name}`);
      if (!['href', 'src', 'data', 'action', 'poster', 'ping'].includes(a.name)) continue;
      const url = new URL(a.value, document.baseURI);
      if ((url.host && url.host !== location.host) || /^(javascript|vbscript|data:text)/i.test(url.href))
        found.push(`${e.tagName} ${a.name}=${a.value.slice(0, 60)}`);
    }
    if (['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'MARQUEE', 'MATH', 'VIDEO', 'AUDIO', 'FORM'].includes(e.tagName))
      found.push(e.tagName);
    if (e.tagName === 'SCRIPT' && e.textContent.includes('owned')) found.push('SCRIPT');
    if (e.tagName === 'STYLE' && e.textContent.includes('203.0.113.1')) found.push('STYLE');
    if (e.matches('[class*="katex"], .stMarkdownColoredText, .stMarkdownColoredBackground, .stMarkdownBadge'))
      found.push(`${e.tagName}.${e.className}`);
    if (['STRONG', 'H1', 'EM', 'DEL'].includes(e.tagName) && /OWNED|gone/.test(e.textContent))
      found.push(`${e.tagName}: ${e.textContent.slice(0, 40)}`);
  }
};
walk(document);
return [...new Set(found)];
"""
TEXTS = """
const texts = [];
const walk = (root) => {
  for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) walk(e.shadowRoot);
    if (['SCRIPT', 'STYLE'].includes(e.tagName)) continue;
    for (const n of e.childNodes) if (n.nodeType === 3) texts.push(n.data);
    for (const a of ['title', 'aria-label', 'placeholder', 'alt', 'value'])
      if (e.hasAttribute(a)) texts.push(e.getAttribute(a));
  }
};
walk(document.body);
const tricky =
  /[\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\u061c\\ufeff\\u001b\\u0007\\u{e0041}\\u2028]/u;
const bad = texts.map((t) => t.match(tricky));
return [...new Set(bad.filter(Boolean).map((m) => m[0].codePointAt(0).toString(16)))];
"""
OVERFLOW = """
const main = document.querySelector('.stMain'), root = document.documentElement;
const wide = [...document.querySelectorAll('.stMainBlockContainer :not(.ms-study *)')]  // the study's name is clipped
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position !== 'fixed')
  .map((e) => e.className || e.tagName);
return {page: root.scrollWidth - innerWidth, main: main.scrollWidth - main.clientWidth, wide: wide.slice(0, 5),
        shown: getComputedStyle(document.body).display, height: main.scrollHeight};
"""


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.fixture(scope="module")
def address(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    room = tmp_path_factory.mktemp("hostile")
    written(room, own_models())
    study = room / "tiny"
    pairs = PairSet(study / "data" / "harmful")
    for number, text in enumerate(("HALVES", *HOSTILE)):
        name = NAMES[number % len(NAMES)]
        meta = {"risk-area": name, "harm-type": text[:2_000], "specific-harm": name}
        safe = text.encode("utf-8", "replace").decode()
        pairs.add(make_pair(study, number, safe, prompt=text, chosen=text, meta=meta, made_by=name, source=name))
    lines = (pairs.folder / "pairs.jsonl").read_text(encoding="utf-8")
    (pairs.folder / "pairs.jsonl").write_text(lines.replace("HALVES", json.dumps(SURROGATES)[1:-1]), encoding="utf-8")
    progress = {
        "stage": "sweep", "task": HOSTILE[0], "state": "failed", "done": 1, "total": 9, "unit": HOSTILE[2],
        "rate": 0.5, "remaining_s": None, "note": SURROGATES + "".join(HOSTILE[:40]),
        "errors": dict.fromkeys(NAMES, 3), "heartbeat": 0,
    }  # fmt: skip
    (study / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    with served(hostile_store(store, room / "hostile.duckdb"), studies=room) as found:
        yield found


@pytest.fixture(scope="module", params=[1440, 1024])
def driver(request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    with browser(width=request.param, height=900) as found:
        found.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # the policy is the second wall, not tried here
        yield found


@pytest.mark.parametrize("name", PAGES)
def test_hostile_texts_are_only_texts(address: str, driver: webdriver.Chrome, name: str) -> None:
    query, ready = PAGES[name]
    page = name.partition(",")[0]
    driver.get(f"{address}/{'' if page == 'frontier' else page}?lang=en&{query}")
    settled(driver, ready)
    wrong = [_wrong(driver), *_open_every_list(driver)]
    for box in driver.find_elements("css selector", ".ms-reveal input"):
        driver.execute_script("arguments[0].click()", box)
    wrong.append(_wrong(driver))
    if page == "review":
        driver.find_element("css selector", '[class*="st-key-show"] button').click()
        settled(driver, ".ms-toxic")
        wrong.append(_wrong(driver))
    assert not any(wrong), [one for one in wrong if one]
    assert foreign_requests(driver) == []


def _open_every_list(driver: webdriver.Chrome) -> Iterator[dict[str, object]]:
    """The options of select boxes are drawn only while they are open."""
    for box in driver.find_elements("css selector", ".stSelectbox input, .stMultiSelect input"):
        driver.execute_script("arguments[0].focus()", box)
        driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "ArrowDown", "code": "ArrowDown"})
        settled(driver, "body")
        yield _wrong(driver)
        driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Escape", "code": "Escape"})


def _wrong(driver: webdriver.Chrome) -> dict[str, object]:
    """What ran, is active, steers other letters, or makes the page wider than the window; empty where all is well."""
    box = driver.execute_script(OVERFLOW)
    wide = box["page"] > 0 or box["main"] > 0 or box["wide"] or box["shown"] != "block" or box["height"] > 6_000
    found = {
        "ran": driver.execute_script("return window.owned") or "owned" in driver.title,
        "active": driver.execute_script(ACTIVE_PARTS),
        "letters": driver.execute_script(TEXTS),
        "layout": box if wide else None,
    }
    return {name: what for name, what in found.items() if what}
