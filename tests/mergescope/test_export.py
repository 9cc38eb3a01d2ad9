"""Exports of a study that ran: numbers, gates, who chose, and what stays at home."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.evidence import choices_folder, keep_evidence
from eval.inbox.slips import ChoiceSlip, put
from eval.metrics import METRICS
from eval.store import open_store
from merge.bundle import EVIDENCE
from merge.card import PARTS
from merge.front_matter import HEADLINE
from merge.gates import LESS_SAFE, VENDOR_TERMS
from mergescope.export import Wish, export_point
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json
from mergescope.study import load_study
from tests.mergescope.conftest import cli
from tests.mergescope.recipes import own_models, written


def exported(folder: Path, **wish: Any) -> tuple[dict[str, Any], str]:
    """The manifest of an export of r = 0.5 (or another), and all that was said."""
    study = load_study(folder / "recipe.yaml")
    wanted = Wish(**{"ratio": "0.5", "out": folder / "b", **wish})
    lines = list(export_point(study, folder / "results.duckdb", wanted))
    manifest: dict[str, Any] = read_json(wanted.out / "manifest.json")
    return manifest, "\n".join(lines)


def change(folder: Path, statement: str, *values: object) -> None:
    with open_store(folder / "results.duckdb", read_only=False) as db:
        db.execute(statement, list(values))


BASE_REFUSES = """
UPDATE estimate SET value = 0.9, low = 0.8, high = 0.95
WHERE metric = 'harmful_refusal_rate' AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE kind = 'base')
"""


def test_a_point_less_safe_than_the_base_needs_a_word(copied: Path) -> None:
    change(copied, BASE_REFUSES)
    with pytest.raises(MergescopeError) as caught:
        exported(copied)
    line = caught.value.line()
    assert "harmful refusal rate by proxy ja (proxy)" in line
    assert line.endswith(f"add --acknowledge {LESS_SAFE}")
    assert not (copied / "b").exists()
    manifest, said = exported(copied, acknowledged=[LESS_SAFE])
    assert [(gate["label"], gate["acknowledged"]) for gate in manifest["gates"]] == [(LESS_SAFE, True)]
    assert "(acknowledged)" in said
    assert "less safe than the base" in (copied / "b" / "README.md").read_text(encoding="utf-8")


def test_data_of_a_vendor_mark_the_bundle_until_acknowledged(copied: Path) -> None:
    raw = own_models()
    raw["models"]["origin"] = {"safe": {"made_by": ["gpt-4o"]}}
    written(copied, raw)
    manifest, said = exported(copied)
    assert manifest["release"] == "not for release"
    assert f"--acknowledge {VENDOR_TERMS} opens this gate" in said
    manifest, said = exported(copied, out=copied / "c", acknowledged=[VENDOR_TERMS])
    assert manifest["release"] == "no gate closed"
    assert "marked" not in said


def test_without_numbers_of_the_base_the_bundle_says_that_nothing_was_compared(copied: Path) -> None:
    change(
        copied,
        "DELETE FROM estimate WHERE checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE kind = 'base')",
    )
    manifest, said = exported(copied)
    assert manifest["not_compared"] == ["harmful refusal rate by proxy ja (proxy): no number of the base"]
    assert "not compared with the base" in said
    assert "Not compared with the base" in (copied / "b" / "README.md").read_text(encoding="utf-8")


def test_a_point_that_was_not_evaluated_says_so(copied: Path) -> None:
    manifest, said = exported(copied, ratio="0.45")
    assert not manifest["evaluated"]
    assert "was not evaluated" in said
    assert "was not evaluated" in (copied / "b" / "README.md").read_text(encoding="utf-8")
    judges = read_json(copied / "b" / "scores.json")["judges"]
    assert [c["role"] for c in judges[0]["checkpoints"]] == ["base", "model-safe", "model-useful", "end", "end"]


def test_without_a_store_there_are_no_numbers(copied: Path) -> None:
    (copied / "results.duckdb").unlink()
    manifest, _ = exported(copied)
    assert not manifest["evaluated"]
    assert read_json(copied / "b" / "scores.json")["judges"] == []


def test_nobody_is_recorded_unless_named(copied: Path) -> None:
    manifest, _ = exported(copied)
    choice = manifest["choice"]
    assert (choice["rule"], choice["by"], choice["note"]) == (None, None, None)
    assert choice["source"].startswith("nobody")
    assert choice["when"].endswith("+00:00")
    for file in (copied / "b").iterdir():
        assert f"/{getpass.getuser()}/" not in file.read_text(encoding="utf-8")


def choose(folder: Path, name: str, rule: object, at: str, supersedes: str | None = None) -> None:
    change(
        folder,
        "INSERT INTO choice SELECT ?, study_id, checkpoint_id, ?, 7, ?, ?, ?::TIMESTAMP, 'it holds', ? "
        "FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE ratio = 0.5",
        name,
        json.dumps(rule),
        "e" * 64,
        "B. Before",
        at,
        supersedes,
    )


def test_the_stores_choice_is_taken_and_the_command_line_overrides_it(copied: Path) -> None:
    choose(copied, "h1_old", "old", "2026-01-03 00:00:00")
    choose(copied, "h1_new", {"most": "usefulness"}, "2026-01-02 10:00:00", supersedes="h1_old")
    choice = exported(copied)[0]["choice"]
    assert choice["choice_id"] == "h1_new"
    assert choice["rule"] == '{"most": "usefulness"}'
    assert (choice["by"], choice["when"], choice["source"]) == ("B. Before", "2026-01-02T10:00:00+00:00", "the store")
    assert (choice["store_revision"], choice["evidence_sha256"]) == (7, "e" * 64)
    choice = exported(copied, out=copied / "c", by="C. After")[0]["choice"]
    assert (choice["rule"], choice["by"], choice["note"]) == ('{"most": "usefulness"}', "C. After", "it holds")
    assert choice["source"] == "the command line"


def test_a_choice_that_waits_in_the_inbox_counts_and_its_evidence_comes_along(copied: Path) -> None:
    store = copied / "results.duckdb"
    with open_store(store, read_only=True) as db:
        query = "SELECT study_id, checkpoint_id FROM study_checkpoint JOIN checkpoint USING (checkpoint_id)"
        study, point = db.execute(f"{query} WHERE ratio = 0.5").fetchall()[0]
    slip = ChoiceSlip(
        study_id=study,
        checkpoint_id=point,
        rule='"max balance"',
        store_revision=7,
        evidence_sha256=keep_evidence(store, {"format": 1}),
        who="D. Now",
        note="",
        made_at=datetime(2026, 11, 28, tzinfo=UTC),
    )
    put(store, slip)
    manifest, said = exported(copied)
    assert (manifest["choice"]["choice_id"], manifest["choice"]["by"]) == (slip.id, "D. Now")
    assert manifest["files"][EVIDENCE] == slip.evidence_sha256
    assert "not on this machine" not in said
    (evidence,) = choices_folder(store).glob("evidence-*.json")
    evidence.unlink()
    manifest, said = exported(copied, out=copied / "c")
    assert EVIDENCE not in manifest["files"]
    assert "what the choice rests on is not on this machine" in said


def test_progress_is_written_where_it_is_asked_for(copied: Path) -> None:
    exported(copied, progress=copied / "how-far.json")
    told = read_json(copied / "how-far.json")
    assert (told["stage"], told["state"], told["done"] == told["total"]) == ("export", "done", True)


def test_a_judges_address_and_place_stay_at_home(copied: Path) -> None:
    setting = {"kind": "llm", "model": "/models/canary-place/judge", "host": "canary-host:8000", "rubric": "c" * 64}
    change(
        copied, "UPDATE judge SET kind = 'llm', name = '/models/canary-place/judge', setting = ?", json.dumps(setting)
    )
    exported(copied)
    (judge,) = read_json(copied / "b" / "scores.json")["judges"]
    assert (judge["name"], judge["label"], judge["rubric_sha256"]) == ("judge", "judge (llm)", "c" * 64)
    for file in (copied / "b").iterdir():
        assert "canary" not in file.read_text(encoding="utf-8")


def test_no_text_of_the_evaluation_leaves_with_a_bundle(copied: Path) -> None:
    change(copied, "UPDATE text SET body = 'canary text ' || text_id")
    change(copied, "UPDATE score SET reason = 'canary reason'")
    change(copied, "UPDATE prompt SET messages = ?", json.dumps([{"role": "user", "content": "canary prompt"}]))
    change(copied, "UPDATE set_item SET category = ['canary category'], item_key = 'canary key ' || item_key")
    exported(copied)
    for file in (copied / "b").rglob("*"):
        assert b"canary" not in file.read_bytes()


def test_scores_name_sets_rules_and_revision(copied: Path) -> None:
    exported(copied)
    scores = read_json(copied / "b" / "scores.json")
    assert [(one["name"], one["items"], one["licence"]) for one in scores["prompt_sets"]] == [("prompts", 6, "unknown")]
    assert scores["store_revision"] > 0
    (judge,) = scores["judges"]
    assert (judge["kind"], judge["label"], len(judge["rubric_sha256"])) == ("proxy", "proxy ja", 64)
    (point, *_) = judge["checkpoints"]
    found = point["splits"]["all"]["safety"]
    assert set(found) == {"value", "low", "high", "n", "n_unscored", "worst", "best", "note"}
    assert scores["metrics"]["safety"]["highest"] == 5.0
    assert "海鮮" not in json.dumps(scores, ensure_ascii=False)


def test_the_command_line_takes_all_of_it(copied: Path) -> None:
    words = ["--rule", "最も安全", "--by", "A. Chooser", "--note", "n", "--acknowledge", LESS_SAFE]
    change(copied, BASE_REFUSES)
    done = cli("export", "recipe.yaml", "--ratio", "0.5", "--out", "b", *words, cwd=copied)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("b: bundle of tiny at r 0.5, ")
    assert first.endswith("check it with: mergescope verify b --inputs FOLDER (which holds base, safe, useful)")
    choice = read_json(copied / "b" / "manifest.json")["choice"]
    assert (choice["rule"], choice["by"], choice["note"]) == ("最も安全", "A. Chooser", "n")
    done = cli("export", "recipe.yaml", "--ratio", "0.5", "--out", "c", "--acknowledge", "all", cwd=copied)
    assert done.returncode == 2
    assert done.stderr == f"--acknowledge: no such gate (got 'all'); use {VENDOR_TERMS} or {LESS_SAFE}\n"


def test_a_word_for_a_gate_that_is_not_closed_is_not_swallowed(copied: Path) -> None:
    _, said = exported(copied, acknowledged=[VENDOR_TERMS])
    assert f"--acknowledge {VENDOR_TERMS}: this gate is not closed" in said


@pytest.mark.deep
def test_a_results_file_that_was_named_must_be_there(copied: Path) -> None:
    (copied / "results.duckdb").unlink()
    wish = ["export", "recipe.yaml", "--ratio", "0.5", "--out", "b"]
    done = cli(*wish, "--store", "results.duckdb", cwd=copied)
    assert done.returncode == 2
    assert done.stderr.startswith("--store: no such results file (got 'results.duckdb'); correct the path")
    assert not (copied / "b").exists()
    assert cli(*wish, cwd=copied, MERGESCOPE_STORE="other.duckdb").returncode == 2
    assert cli(*wish, cwd=copied).returncode == 0


def test_the_parts_of_a_metric_that_a_card_may_miss_are_metrics() -> None:
    for whole, parts in PARTS.items():
        [kind] = {part.kind for part in METRICS[whole].parts}
        means = {name for name, metric in METRICS.items() if metric.form == "mean" and name != whole}
        axes = {name for name in means if [part.kind for part in METRICS[name].parts] == [kind]}
        assert set(parts) == axes
    assert set(HEADLINE) <= set(METRICS)
