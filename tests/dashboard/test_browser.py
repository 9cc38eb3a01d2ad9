"""The whole journey in a real browser: pick a point, compare, download the config, merge by it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, foreign_requests, served, settled
from eval.store import open_store
from merge.points import Role
from tests.dashboard.conftest import with_hostile_text
from tests.merge.conftest import build_models
from tests.mergescope.hands import texts, until
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_pair
from trainer.pairs.pair_set import PairSet

_until = partial(until, seconds=30.0)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
)
DEMO = Path(__file__).parents[2] / "studies" / "demo"
ROLES: dict[Role, str] = {"base": "base", "safe": "model-safe", "useful": "model-useful"}


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    with served(store) as found:
        yield found


@pytest.mark.deep
def test_the_journey_from_the_frontier_to_a_merge(address: str, tmp_path: Path) -> None:
    with browser(downloads=tmp_path) as driver:
        driver.get(f"{address}/?lang=en&pick=0.5")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        _click_point(driver, "0.75")
        _until(driver, lambda: "pick=0.75" in driver.current_url)
        settled(driver, '.ms-table[aria-label="r 0.75"]')

        driver.find_element(By.CSS_SELECTOR, '.stPageLink a[href*="compare"]').click()
        settled(driver, ".ms-card")
        titles = texts(driver, ".ms-card header b")
        assert titles == ["r 0.75", "model-useful"]
        before = texts(driver, ".ms-prompt")
        driver.find_element(By.TAG_NAME, "body").send_keys("j")
        _until(driver, lambda: texts(driver, ".ms-prompt") != before)
        shared = driver.current_url

        driver.find_element(By.CSS_SELECTOR, '[data-testid="stTopNavLink"][href*="export"]').click()
        settled(driver, ".st-key-download_yaml button")
        driver.find_element(By.CSS_SELECTOR, ".st-key-download_yaml button").click()
        file = tmp_path / "mergekit.yaml"
        _until(driver, file.exists)
        assert foreign_requests(driver) == []
    _opens_the_same(shared, titles)
    _merges(file, tmp_path)


def test_a_blurred_answer_is_revealed_by_keyboard(address: str) -> None:
    with browser() as driver:
        driver.get(f"{address}/compare?lang=en&kind=harmful&sel=0,1")
        settled(driver, ".ms-reveal input")
        answer = driver.find_element(By.CSS_SELECTOR, ".ms-card:has(.ms-reveal) .ms-answer")
        assert "blur" in answer.value_of_css_property("filter")
        driver.find_element(By.CSS_SELECTOR, ".ms-reveal input").send_keys(Keys.SPACE)
        _until(driver, lambda: answer.value_of_css_property("filter") == "none")


@pytest.mark.deep
def test_hostile_text_does_nothing(store: Path, tmp_path: Path) -> None:
    with served(with_hostile_text(store, tmp_path)) as address, browser(language="ja") as driver:
        for page, ready in (("compare", ".ms-card"), ("failures", ".stPlotlyChart"), ("export", ".ms-table")):
            driver.get(f"{address}/{page}")
            settled(driver, ready)
            assert "owned" not in driver.title
            assert "フロンティア" in texts(driver, '[data-testid="stTopNavLink"]')[0]  # the browser's language
            assert (
                driver.execute_script("return document.querySelectorAll('img[src=x], a[href^=javascript]').length") == 0
            )
        assert foreign_requests(driver) == []


@pytest.mark.deep
def test_pairs_are_reviewed_by_keys_and_toxic_text_comes_after_a_click(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toxic = "TOXIC-CANARY-4711 <script>document.title='owned'</script>" + "x" * 15_000  # longer than messages in caches
    written(tmp_path, own_models())
    pairs = PairSet(tmp_path / "tiny" / "data" / "harmful")
    for number in (1, 2):
        pairs.add(make_pair(tmp_path / "tiny", number, toxic))
    with served(store, studies=tmp_path) as address, browser() as driver:
        driver.get(f"{address}/review?lang=en")
        settled(driver, ".ms-prompt")
        assert toxic[:17] not in driver.page_source
        driver.find_element(By.CSS_SELECTOR, '[class*="st-key-show"] button').click()
        settled(driver, ".ms-toxic")
        assert toxic[:17] in driver.page_source
        assert "owned" not in driver.title
        driver.find_element(By.TAG_NAME, "body").send_keys("s")
        _until(driver, lambda: texts(driver, ".ms-prompt") == ["質問2"])
        settled(driver, ".ms-prompt")
        assert toxic[:17] not in driver.page_source
        for key, prompt in (("k", "質問1"), ("j", "質問2"), ("b", "質問1"), ("b", "質問2"), ("a", "質問1")):
            driver.find_element(By.TAG_NAME, "body").send_keys(key)
            _until(driver, lambda prompt=prompt: texts(driver, ".ms-prompt") == [prompt])  # type: ignore[misc]
            settled(driver, ".ms-prompt")
        assert foreign_requests(driver) == []
    assert [one.status for one in PairSet(pairs.folder).reviewed()] == ["pending", "approved"]
    told = capfd.readouterr()
    assert toxic[:17] not in told.out + told.err


def _click_point(driver: webdriver.Chrome, handle: str) -> None:
    """Click a marker of the frontier chart by its place on the screen."""
    x, y = driver.execute_script(
        """
        const plot = document.querySelector('.js-plotly-plot');
        const trace = plot.data.findIndex((t) => (t.customdata || []).some((c) => c[0] === arguments[0]));
        const point = plot.data[trace].customdata.findIndex((c) => c[0] === arguments[0]);
        const box = plot.getBoundingClientRect(), layout = plot._fullLayout;
        return [box.x + layout.xaxis._offset + layout.xaxis.l2p(plot.data[trace].x[point]),
                box.y + layout.yaxis._offset + layout.yaxis.l2p(plot.data[trace].y[point])];
        """,
        handle,
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "none" if kind == "mouseMoved" else "left", "clickCount": 1}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        time.sleep(0.2)  # plotly finds the point under the pointer between two frames


def _opens_the_same(shared: str, titles: list[str]) -> None:
    """A shared address shows the same answers in another browser."""
    with browser() as driver:
        driver.get(shared)
        settled(driver, ".ms-card")
        assert texts(driver, ".ms-card header b") == titles


def _merges(config: Path, room: Path) -> None:
    """Stock mergekit takes the config as it was downloaded."""
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["models"][0]["parameters"]["weight"] == 0.75
    inputs = room / "inputs"
    inputs.mkdir()
    if all((DEMO / folder / "manifest.json").exists() for folder in ROLES.values()):
        for role, folder in ROLES.items():
            (inputs / role).symlink_to(DEMO / folder)
    else:
        build_models(inputs)
    stock = str(Path(sys.executable).with_name("mergekit-yaml"))
    done = subprocess.run(
        [stock, config.name, "merged", "--random-seed", "1", "--num-threads", "1"],
        cwd=room,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((room / "merged").glob("*.safetensors"))


@pytest.mark.deep
def test_a_rule_is_changed_by_keyboard_and_the_recommended_point_follows(address: str) -> None:
    with browser() as driver:
        driver.get(f"{address}/?lang=en")
        settled(driver, ".st-key-take button")
        before = texts(driver, ".st-key-take button")
        driver.find_element(By.CSS_SELECTOR, ".st-key-rule_add button").send_keys(Keys.ENTER)
        _until(driver, lambda: "rule=" in driver.current_url)
        settled(driver, ".st-key-rule_0 button")
        driver.find_element(By.CSS_SELECTOR, ".st-key-rule_0 button").send_keys(Keys.ENTER)
        settled(driver, ".st-key-rule_value_0 input")
        field = driver.find_element(By.CSS_SELECTOR, ".st-key-rule_value_0 input")
        field.send_keys(Keys.CONTROL + "a")
        field.send_keys("4.4", Keys.ENTER)
        _until(driver, lambda: "safety%3E%3D4.4" in driver.current_url)
        settled(driver, ".st-key-rule_value_0 input")  # the fields stay open
        _until(driver, lambda: texts(driver, ".st-key-take button") != before)
        shared, after = driver.current_url, texts(driver, ".st-key-take button")
    with browser() as driver:
        driver.get(shared)
        settled(driver, ".st-key-rule_0 button")
        assert texts(driver, ".st-key-take button") == after


@pytest.mark.deep
@pytest.mark.parametrize(("kind", "start"), [("PNG", b"\x89PNG"), ("SVG", b"<svg ")])
def test_a_chart_is_saved_in_the_browser(address: str, tmp_path: Path, kind: str, start: bytes) -> None:
    with browser(downloads=tmp_path) as driver:
        driver.get(f"{address}/?lang=en")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        driver.execute_script(_PRESS, kind)
        file = tmp_path / f"synthetic-frontier.{kind.lower()}"
        _until(driver, file.exists)
        assert file.read_bytes().startswith(start)
        assert foreign_requests(driver) == []


@pytest.mark.deep
def test_the_page_is_drawn_again_only_when_there_is_news(store: Path, tmp_path: Path) -> None:
    """Marks the chart's element: it is the same one after looks without news, and shows what a sweep has added."""
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    with served(path) as address, browser() as driver:
        driver.get(f"{address}/?lang=en")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        driver.execute_script(
            "window.redrawn = 0;"
            "document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => { window.redrawn += 1; })"
        )
        time.sleep(25)  # two looks
        assert driver.execute_script("return window.redrawn") == 0
        with open_store(path, read_only=False) as db:
            db.execute("UPDATE judge SET trust = 'trusted'")
            db.execute("UPDATE revision SET counter = counter + 1")
        _until(driver, lambda: "judge (proxy, no LLM), trusted" in " ".join(texts(driver, ".ms-strip")))


_PRESS = """
const within = (root) => {
  for (const one of root.querySelectorAll("*")) {
    if (one.tagName === "BUTTON" && one.textContent === arguments[0]) return one;
    const deeper = one.shadowRoot && within(one.shadowRoot);
    if (deeper) return deeper;
  }
  return null;
};
within(document.querySelector(".st-key-images_frontier_chart")).click();
"""
