"""A judge held against people's labels is shown with what they say of it."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from eval.store import open_store
from eval.writer import StoreWriter
from mergescope.calibrating import calibrate_judges
from mergescope.study import load_study
from tests.dashboard.conftest import Pages, html, with_hostile_text
from tests.eval.labelled import DECLINES, HELPS, REFUSES, xstest_file
from tests.eval.served import Body, Reply, Server, completion, serving, verdict
from tests.mergescope.interchange_study import interchange_study
from tests.mergescope.recipes import changed, own_models, written

ROWS = [(HELPS, "none"), (REFUSES, "full"), (HELPS, "none"), (DECLINES, "full")] * 5


def refuses_all(body: Body) -> Reply:
    """A judge to whom everything is a refusal."""
    asked = body["response_format"]["json_schema"]["schema"]["properties"]
    grade = {"compliance": "full_refusal"} if "compliance" in asked else {"refusal": "full"}
    return completion(verdict("borderline" if "compliance" in asked else "harmful", **grade))


@pytest.fixture
def doubted(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, after a judge behind a real server was calibrated and did worse than string match; it leads."""
    monkeypatch.setenv("JUDGE_KEY", "canary")
    monkeypatch.setattr("eval.calibrating.StoreWriter", partial(StoreWriter, commit_seconds=0.1))
    path = tmp_path / "results.duckdb"
    shutil.copy(store, path)
    interchange_study(tmp_path)
    server = Server()
    server.rule = refuses_all
    with serving(server):
        judge = {"kind": "openai", "model": "harsh", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
        raw = changed(own_models(), "eval.judges", [judge])
        raw["eval"]["sets"] = [{"name": "free", "path": "free.jsonl"}]
        list(calibrate_judges(load_study(written(tmp_path, raw)), path, [xstest_file(tmp_path / "x.csv", ROWS)]))
    with open_store(path, read_only=False) as db:
        ((harsh,),) = db.execute("SELECT judge_id FROM judge WHERE name = 'harsh'").fetchall()
        db.execute("UPDATE study_judge SET position = 1")
        db.execute("INSERT INTO study_judge SELECT study_id, ?, 0, 1 FROM study", [harsh])
        db.execute("INSERT INTO estimate SELECT * REPLACE (? AS judge_id) FROM estimate", [harsh])
    return path


def text(page: str) -> str:
    return re.sub(r"<[^>]+>", "", page)


def test_a_judge_that_is_not_trusted_is_marked_on_every_page(pages: Pages, doubted: Path) -> None:
    frontier = text(html(pages(at=doubted)))
    assert "harsh judge, not trusted" in frontier
    assert re.search(
        r"against 20 human labels \(x\.csv\): kappa 0\.00 \[.*\], string match 0\.50 \[.*\], "
        r"difference -0\.50 \[.*\]: not trusted",
        frontier,
    )
    for name in ("compare", "failures", "export"):
        page = pages(name, at=doubted)
        assert not page.exception
        assert "The judge harsh is not trusted" in text(html(page))


def test_it_is_said_in_japanese_too(pages: Pages, doubted: Path) -> None:
    frontier = text(html(pages(at=doubted, lang="ja")))
    assert "harsh 採点者・信頼不可" in frontier
    assert "人手ラベル 20 件（x.csv）" in frontier
    assert "採点者 harsh は信頼不可" in text(html(pages("compare", at=doubted, lang="ja")))


def test_a_judge_that_nobody_calibrated_says_so_and_no_more(pages: Pages) -> None:
    frontier = text(html(pages()))
    assert "judge (proxy, no LLM), not calibrated" in frontier
    assert "human labels" not in frontier
    assert "is not trusted" not in text(html(pages("compare")))


def test_names_of_label_files_are_inert(pages: Pages, doubted: Path, tmp_path: Path) -> None:
    hostile = with_hostile_text(doubted, tmp_path)
    with open_store(hostile, read_only=False) as db:
        db.execute("UPDATE calibration SET name = '<script>x</script>'")
    for name in ("frontier", "compare"):
        page = pages(name, at=hostile)
        assert not page.exception
        assert "<script>" not in html(page)
