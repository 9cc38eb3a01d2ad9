"""Who had a harmful text shown is logged, by its id; the text is not."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, served, settled
from dashboard.people import reveals
from dashboard.store.place import STORE_VARIABLE
from dashboard.study.recipes import STUDIES_VARIABLE
from eval.identity import text_id
from mergescope.ground.ids import text_hash
from tests.dashboard.conftest import Pages
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_pair
from trainer.pairs.pair_set import PairSet

TOXIC = "TOXIC-CANARY-7193"
ONE = "t1_" + "0" * 32


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def test_a_toxic_side_is_logged_by_its_hash(pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path))
    written(tmp_path, own_models())
    PairSet(tmp_path / "tiny" / "data" / "harmful").add(make_pair(tmp_path / "tiny", 1, TOXIC))
    page = pages("review", at=tmp_path / "results.duckdb")
    file = tmp_path / "results.duckdb.reveals.jsonl"
    assert not file.exists()
    page.button(key="show:harmful/p1").click().run()
    assert not page.exception
    (line,) = lines(file)
    assert (line["page"], line["text"]) == ("review", text_hash(TOXIC))
    assert line["who"]
    assert TOXIC not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_browser_may_say_ids_alone_and_each_click_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "results.duckdb"))
    kept: dict[str, Any] = {}
    monkeypatch.setattr(reveals.st, "session_state", kept)
    told = [f"1:{ONE}", f"2:{ONE}", "3:the text itself", f"4:{ONE}\nforged", f"{'9' * 99}:{ONE}", f"x:{ONE}", ""]
    for sent in (told[:1], told, [None, 7, {}], None):
        kept["reveals"] = SimpleNamespace(shown=sent)
        reveals._heard("compare")
    assert [line["text"] for line in lines(reveals.log_file())] == [ONE, ONE]


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium")
def test_a_ticked_box_shows_at_once_and_is_logged(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    file = reveals_of(path)
    with served(path) as address, browser() as driver:
        driver.get(f"{address}/compare?lang=en&kind=harmful&sel=0,1")
        settled(driver, ".ms-reveal input")
        answer = driver.find_element("css selector", ".ms-card .ms-answer")
        box = driver.find_element("css selector", ".ms-card .ms-reveal input")
        assert answer.get_attribute("aria-hidden") == "true"
        shown = driver.execute_script(
            "arguments[0].click(); return [getComputedStyle(arguments[1]).filter, arguments[1].ariaHidden]", box, answer
        )
        assert shown == ["none", "false"]  # in the same step of the browser, before any word of the server
        assert [one["text"] for one in waited(file, 1)] == [text_id(answer.get_attribute("textContent") or "")]
        box.click()
        assert answer.get_attribute("aria-hidden") == "true"
        for one in driver.find_elements("css selector", ".ms-reveal input"):
            one.click()  # both at once, the page busy with the first
        assert len(waited(file, 3)) == 3
        settled(driver, ".ms-card")
        assert all(one.is_selected() for one in driver.find_elements("css selector", ".ms-reveal input"))


def reveals_of(store: Path) -> Path:
    return store.with_name(f"{store.name}.reveals.jsonl")


def waited(file: Path, count: int) -> list[dict[str, Any]]:
    """The log's lines once there are so many, or what there is after 10 s."""
    deadline = time.monotonic() + 10
    while len(lines(file)) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return lines(file)
