"""The whole journey through the pages of a real study: from the frontier to a bundle that passes verify.

Once with a mouse and once by keyboard alone, on the demo that `make demo-run` leaves; where it has not run, it runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium import webdriver

from benchmarks.browser import CHROMEDRIVER, CHROMIUM, browser, foreign_requests, served, settled
from eval.inbox.taking import take_in
from eval.people import in_force, verdicts
from eval.store import open_store
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.hands import FIND, Hand, Keyboard, Mouse, seen, texts, until
from trainer.pairs.pair_set import PairSet

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
    ),
    pytest.mark.deep,
]
PRESSABLE = FIND.replace("return within(document);", "const one = within(document); return !!one && !one.disabled;")
SAFETY = "4.5"
"""Of the constraint: more than the point that is recommended without one has for sure."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's recipe, outputs and results."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(ROOT / "studies" / "demo.yaml", folder)
    made, store = ROOT / "studies" / "demo", ROOT / "results.duckdb"
    if made.is_dir() and store.is_file():
        shutil.copytree(made, folder / "demo")
        shutil.copy(store, folder)
    done = cli("run", "demo.yaml", cwd=folder)  # where it has run, it only looks
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("hand", [Mouse, Keyboard], ids=["mouse", "keyboard"])
def test_from_the_frontier_to_a_bundle(hand: Callable[[webdriver.Chrome], Hand], demo: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(demo, study)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    store = study / "results.duckdb"
    with served(store, studies=study) as address, browser(downloads=downloads) as driver:
        user = hand(driver)
        driver.get(f"{address}/?lang=en")
        change_the_rule(user)
        follow_a_flip(user)
        shared = judge_an_answer(user)
        export_triples(user, "r 0.00")
        bundle = choose_and_download(user, downloads)
        assert foreign_requests(driver) == []
    opens_the_same(store, shared)
    assert said(store) == [("anna", "safety", 2.0)]
    exported = PairSet(study / "demo" / "data" / "failures-unsafe")
    assert {pair.status for pair in exported.reviewed()} == {"pending"}
    done = cli("verify", bundle, "--inputs", inputs_of(study / "demo", tmp_path), cwd=study)
    assert done.returncode == 0, done.stderr
    assert "equal in every bit" in done.stdout


def change_the_rule(user: Hand) -> None:
    """A constraint joins, its value is raised, and another point is recommended."""
    driver = user.driver
    settled(driver, ".st-key-take button")
    before = texts(driver, ".st-key-take button")
    user.press(".st-key-rule_add button")
    until(driver, lambda: "rule" in asked(driver))
    user.press(".st-key-rule_0 button")
    user.write(".st-key-rule_value_0 input", SAFETY)
    until(driver, lambda: f"safety>={SAFETY}@95" in asked(driver).get("rule", ""))
    until(driver, lambda: texts(driver, ".st-key-take button") not in ([], before))
    user.close()
    until(driver, lambda: seen(driver, ".st-key-rule_value_0") is None)
    settled(driver, ".st-key-take button")


def follow_a_flip(user: Hand) -> None:
    """A count of flips leads to as many prompts."""
    driver = user.driver
    user.choose("baseline", "base")
    until(driver, lambda: asked(driver).get("baseline") == "base")
    settled(driver, ".st-key-flips .stPageLink a")
    label = next(text for text in texts(driver, ".st-key-flips .stPageLink a") if not text.startswith("0 "))
    user.press(".st-key-flips .stPageLink a", label.strip())
    settled(driver, ".ms-card")
    count = re.match(r"[\d,]+", label)
    assert count is not None
    assert any(note.startswith(f"{count[0]} of ") for note in texts(driver, ".ms-note")), label


def judge_an_answer(user: Hand) -> str:
    """A person says who she is and how safe an answer is, and it is shown; returns the address."""
    driver = user.driver
    user.write(".st-key-raters input", "anna")
    settled(driver, ".st-key-raters input")
    user.press(".rating button", "2")
    until(driver, lambda: seen(driver, ".rating button[aria-pressed='true']", "2") is not None)
    return driver.current_url


def export_triples(user: Hand, point: str) -> None:
    """The failures of a point become pairs to be reviewed."""
    driver = user.driver
    user.press('[data-testid="stTopNavLink"]', "Failures")
    settled(driver, ".js-plotly-plot .point")
    user.choose("fault", "unsafe answer")
    until(driver, lambda: asked(driver).get("fault") == "unsafe")
    user.choose("pick", point)
    until(driver, lambda: asked(driver).get("pick") == "0")
    settled(driver, ".st-key-choice_triples input")
    user.press(".st-key-choice_triples input")
    settled(driver, ".st-key-export_triples button")
    user.press(".st-key-export_triples button")
    until(driver, lambda: any("new pairs wait for review" in note for note in texts(driver, ".ms-note")))


def choose_and_download(user: Hand, downloads: Path) -> Path:
    """Everything is read, the confirm split opened, a point chosen, and its bundle downloaded."""
    driver = user.driver
    user.press('[data-testid="stTopNavLink"]', "Choose and export")
    user.choose("pick", "r 0.40")
    until(driver, lambda: asked(driver).get("pick") == "0.4")
    while not can_be_pressed(driver, ".st-key-open_confirm button"):
        before = texts(driver, ".ms-note")
        user.press(".st-key-checklist_read button")
        until(driver, lambda: texts(driver, ".ms-note") != before)  # noqa: B023 -- waited for at once
        settled(driver, ".st-key-open_confirm button")
    user.press(".st-key-open_confirm button")
    until(driver, lambda: can_be_pressed(driver, ".st-key-choose button"))
    user.write(".stTextArea textarea", "reads best")
    user.press(".st-key-choose button")
    until(driver, lambda: can_be_pressed(driver, ".st-key-prepare_bundle button"))
    user.press(".st-key-prepare_bundle button")
    until(driver, lambda: can_be_pressed(driver, ".st-key-download_bundle button"))
    user.press(".st-key-download_bundle button")
    file = downloads / "demo-0.4.zip"
    until(driver, file.exists)
    return file


def can_be_pressed(driver: webdriver.Chrome, selector: str) -> bool:
    return bool(driver.execute_script(PRESSABLE, selector, ""))


def inputs_of(study: Path, room: Path) -> Path:
    """The three models as a bundle calls them."""
    folder = room / "inputs"
    folder.mkdir()
    for role, made in (("base", "base"), ("safe", "model-safe"), ("useful", "model-useful")):
        (folder / role).symlink_to(study / made)
    return folder


def opens_the_same(store: Path, shared: str) -> None:
    """An address that is passed on shows the same prompt and answers in another browser, and on another server."""
    place = urlsplit(shared)
    with served(store) as address, browser() as driver:
        driver.get(f"{address}{place.path}?{place.query}")
        settled(driver, ".ms-card")
        assert asked(driver) == {name: values[0] for name, values in parse_qs(place.query).items()}


def said(store: Path) -> list[tuple[str, str, float | None]]:
    """People's verdicts, once everything is taken in."""
    take_in(store)
    with open_store(store, read_only=True) as db:
        (study,) = db.execute("SELECT study_id FROM study").fetchall()[0]
        return [(row.rater, row.axis, row.value) for row in in_force(verdicts(db, study))]


def asked(driver: webdriver.Chrome) -> dict[str, str]:
    """What the address says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(driver.current_url).query).items()}
