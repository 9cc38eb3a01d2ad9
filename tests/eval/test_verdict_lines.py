"""People's verdicts as labels: what is written is what `judge calibrate` reads, and nothing leaves that may not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from eval.inbox.taking import verdict_row
from eval.labels import labels_of, read_labels
from eval.people import in_force
from eval.rows import VerdictRow
from eval.store import open_store
from eval.verdict_lines import shareable, verdict_lines
from tests.eval.inbox.slips import answered, verdict
from tests.eval.synthetic_store import make_synthetic_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "results.duckdb"
    make_synthetic_store(path, ratios=2, prompts=24, estimates=False)
    return path


def lines_of(store: Path, rows: list[VerdictRow]) -> tuple[list[dict[str, object]], frozenset[tuple[str, str]]]:
    with open_store(store, read_only=True) as db:
        (study,) = db.execute("SELECT study_id FROM study").fetchone()  # type: ignore[misc]
        return [line for _, line in verdict_lines(db, study, rows)], shareable(db, study, rows)


def some_verdicts(store: Path) -> list[VerdictRow]:
    harmful, borderline = answered(store)[0], answered(store, "borderline")[0]
    slips = [
        verdict(harmful, 0, seen_judge=False, blind=True, p_selected=0.25),
        verdict(harmful, 1, seen_judge=False, rater="ben", value=2.0),
        verdict(harmful, 2, axis="refusal", value=None, label="none", seen_judge=False),
        verdict(borderline, 3, axis="compliance", value=None, label="partial_refusal", seen_judge=False),
        verdict(borderline, 4, axis="compliance", value=None, label="full_answer"),
    ]
    return in_force(map(verdict_row, slips))


def test_a_written_file_is_read_as_it_was_meant(store: Path, tmp_path: Path) -> None:
    lines, _ = lines_of(store, some_verdicts(store))
    file = tmp_path / "verdicts.jsonl"
    file.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")
    labels = read_labels([file])
    assert labels.seen_judge == 1
    found = {(row.item.kind, row.axis): (dict(row.ratings), row.weight) for row in labels.rows}
    assert found == {
        ("harmful", "safety"): ({"anna": 4.0, "ben": 2.0}, 4.0),
        ("harmful", "refusal"): ({"anna": 0.0}, 4.0),
        ("borderline", "refusal"): ({"anna": 1.0}, 1.0),
    }
    assert labels_of("verdicts", lines).rows == labels.rows
    with open_store(store, read_only=True) as db:  # the same question as the sweep's: nothing is asked anew
        judged = db.execute("SELECT kind, prompt_id, text_id, reference_text_id FROM judgement").fetchall()
    for row in labels.rows:
        assert (row.item.kind, row.item.prompt_id, row.item.reference_id) in {(k, q, r) for k, q, _, r in judged}


def test_harmful_and_closed_and_unsafe_answers_stay(store: Path, tmp_path: Path) -> None:
    rows = some_verdicts(store)
    harmful, borderline = answered(store)[0], answered(store, "borderline")[0]
    assert lines_of(store, rows)[1] == {borderline}
    unsafe = in_force([verdict_row(verdict(borderline, 5, value=2.0)), *rows])
    assert lines_of(store, unsafe)[1] == frozenset()
    closed = Path(shutil.copy(store, tmp_path / "closed.duckdb"))
    with open_store(closed, read_only=False) as db:
        db.execute("UPDATE prompt_set SET redistributable = false")
    assert lines_of(closed, rows)[1] == frozenset()
    assert harmful != borderline


def test_verdicts_on_what_the_study_has_not_are_left_out(store: Path) -> None:
    harmful = answered(store)[0]
    rows = [verdict_row(verdict(("q1_none", harmful[1]))), verdict_row(verdict((harmful[0], "t1_none")))]
    assert lines_of(store, rows)[0] == []
