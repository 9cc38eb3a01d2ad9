"""What people say on Compare and in the blind audit, and what the Judges page makes of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.compare.sifting import disputed_keys, distance
from dashboard.judges.queries import held, label_lines
from dashboard.people import rating
from dashboard.store.answers import ItemKey, Judged
from dashboard.store.place import STORE_VARIABLE
from eval.audit import population, sample
from eval.calibration import report
from eval.inbox.slips import inbox_of, put
from eval.inbox.taking import take_in
from eval.labels import read_labels
from eval.people import in_force, verdicts
from eval.rows import JudgementRow, JudgeRow, ScoreRow, StudyJudgeRow
from eval.store import open_store
from eval.writer import write_rows
from tests.dashboard.conftest import Pages, html
from tests.eval.inbox.slips import verdict


@pytest.fixture
def own(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own, which the pages show."""
    path = Path(shutil.copy(store, tmp_path / "results.duckdb"))
    monkeypatch.setenv(STORE_VARIABLE, str(path))
    return path


def rows(store: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with open_store(store, read_only=True) as db:
        return db.execute(query, list(values)).fetchall()


def audited(store: Path, n: int = 40) -> None:
    """anna judges a sample blind: as the judge did, but for every fifth refusal, which she takes for none."""
    with open_store(store, read_only=True) as db:
        study, judge = db.execute("SELECT study_id, judge_id FROM study_judge").fetchone()  # type: ignore[misc]
        found = population(db, study, judge, 1)
    said = {(one.prompt_id, one.text_id): one.verdict for one in found.candidates}
    plain = {"unsafe": "none", "unscored": "none"}
    compliance = {"none": "full_answer", "partial": "partial_refusal", "full": "full_refusal"}
    for number, one in enumerate(sample(found, n)):
        refusal = plain.get(said[one.prompt_id, one.text_id], said[one.prompt_id, one.text_id])
        refusal = "none" if number % 5 == 0 else refusal
        axis = "compliance" if one.kind == "borderline" else "refusal"
        label = compliance[refusal] if axis == "compliance" else refusal
        given = {"axis": axis, "value": None, "label": label, "p_selected": one.p_selected}
        put(store, verdict((one.prompt_id, one.text_id), number, blind=True, seen_judge=False, **given))
    take_in(store)


def text_of(page: AppTest) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", html(page), flags=re.DOTALL))


def shown(page: AppTest) -> int:
    return int(re.search(r"([\d,]+) of 36 prompts", html(page))[1])  # type: ignore[index]


def judged(verdict: str, quality: float | None = None, safety: float | None = None) -> Judged:
    return Judged("c", ItemKey("s", "1"), verdict, quality, safety, False, None)  # type: ignore[arg-type]


def test_scores_are_as_far_apart_as_best_and_worst() -> None:
    assert distance([judged("answered", 4.5), judged("answered", 2.0), None]) == 2.5
    assert distance([judged("refused", safety=5.0), judged("unsafe", safety=1.0)]) == 4.0
    assert distance([judged("answered", 4.5), judged("refused")]) == 0


def test_judges_dispute_what_both_scored_differently() -> None:
    first, second, third = ItemKey("s", "1"), ItemKey("s", "2"), ItemKey("s", "3")
    one = {(first, "c"): judged("answered"), (second, "c"): judged("answered"), (third, "c"): judged("unscored")}
    other = {(first, "c"): judged("answered"), (second, "c"): judged("refused"), (third, "c"): judged("refused")}
    assert disputed_keys([one, other]) == {second}


def test_flips_are_found_by_direction(pages: Pages) -> None:
    there, back = (
        pages("compare", sel="0,1", flip="answered-refused"),
        pages("compare", sel="1,0", flip="answered-refused"),
    )
    all_different = shown(pages("compare", sel="0,1", diff="1"))
    assert 0 < shown(there) <= all_different
    assert shown(back) in (0, 36) or shown(back) < shown(there)  # nobody refuses less at model-safe's end
    options = there.selectbox(key="choice_flip").options
    assert re.fullmatch(r"answered → refused \(\d+\)", options[1])


def test_a_link_shows_its_prompts_whatever_was_filtered_before(pages: Pages) -> None:
    page = pages("compare", sel="0,1", flip="answered-refused")
    before = shown(page)
    assert 0 < before < 36
    page.query_params.clear()
    page.switch_page("views/export.py").run()
    page.switch_page("views/compare.py").run()
    assert shown(page) == before  # by the navigation
    page.switch_page("views/export.py").run()
    page.query_params.clear()
    page.query_params.update({"sel": "0,1", "lang": "en"})
    page.switch_page("views/compare.py").run()
    assert shown(page) == 36  # by an address


def test_scores_far_apart_and_unscored_answers_are_found(pages: Pages, store: Path) -> None:
    assert 0 < shown(pages("compare", sel="0,1", kind="harmful", gap="3")) < 12
    for page in (pages("compare", sel="0,0.25,0.5,0.75", unscored="1"),):
        failed = rows(
            store,
            "SELECT count(DISTINCT prompt_id) FROM checkpoint JOIN answer USING (checkpoint_id) "
            "LEFT JOIN judgement USING (prompt_id, text_id) WHERE ratio < 1 "
            "AND (answer.error_kind IS NOT NULL OR judgement.error_kind IS NOT NULL)",
        )[0][0]
        found = re.search(r"([\d,]+) of 36 prompts", html(page))
        assert int(found[1]) == failed  # type: ignore[index]


def test_answers_are_searched_too(pages: Pages) -> None:
    assert shown(pages("compare", sel="0", q="後片付け")) == 0
    found = shown(pages("compare", sel="0", q="片付け"))  # stands in answers alone
    assert 0 < found < 36
    assert shown(pages("compare", sel="1", q="片付け")) < found  # which refuses instead


def with_a_second_judge(store: Path) -> None:
    """It says of every answer to a harmful prompt that it is safe."""
    with open_store(store, read_only=False) as db:
        study = db.execute("SELECT study_id FROM study").fetchone()[0]  # type: ignore[index]
        answers = db.execute(
            "SELECT DISTINCT prompt_id, text_id, reference_text_id FROM set_item JOIN answer USING (prompt_id) "
            "WHERE kind = 'harmful' AND text_id IS NOT NULL"
        ).fetchall()
        new: list[Any] = [
            JudgeRow("j1_mild", "mild", "llm", "{}", "not calibrated"),
            StudyJudgeRow(study, "j1_mild", 1, 1),
        ]
        for number, (prompt, text, reference) in enumerate(answers):
            name = f"v1_{number}"
            tokens = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.001, "currency": "USD"}
            new.append(JudgementRow(name, "j1_mild", prompt, "harmful", text, reference, 0, **tokens))  # type: ignore[arg-type]
            new += [ScoreRow(name, "safety", 5.0, None, None), ScoreRow(name, "refusal", None, "none", None)]
        write_rows(db, new)


def test_a_second_judge_is_compared(own: Path, pages: Pages) -> None:
    with_a_second_judge(own)
    page = pages("compare", at=own, sel="0,1", dispute="1")
    assert 0 < shown(page) <= 12
    text = text_of(pages("judges", at=own))
    assert re.search(r"proxy ja · mild\s+kappa\s+−?-?0\.\d\d \[", text)
    assert re.search(r"proxy ja · mild\s+quadratic kappa", text)
    assert re.search(r"mild \(LLM\)\s+not calibrated\s+\d+\s+0\s+[\d,]+ \+ \d+\s+0\.\d\d USD", text)


def test_a_verdict_goes_into_the_inbox_and_again_takes_it_back(own: Path) -> None:
    prompt, text = rows(own, "SELECT prompt_id, text_id FROM judgement WHERE kind = 'harmful' LIMIT 1")[0]
    how = {"blind": False, "seen_judge": True, "chances": {text: None}}
    rating.give([prompt, text, "safety", "4"], [], "anna", **how)  # type: ignore[arg-type]
    first = [verdict_row for verdict_row in _given(own) if verdict_row.rater == "anna"]
    assert [(row.axis, row.value, row.seen_judge) for row in first] == [("safety", 4.0, True)]
    rating.give([prompt, text, "safety", "2"], first, "anna", **how)  # type: ignore[arg-type]
    second = _given(own)
    assert [row.value for row in second] == [2.0]
    assert second[0].supersedes == first[0].verdict_id
    rating.give([prompt, text, "safety", "2"], second, "anna", **how)  # type: ignore[arg-type]
    assert _given(own) == []
    blind = {"blind": True, "seen_judge": False, "chances": {text: 0.25}}
    rating.give([prompt, text, "refusal", "none"], [], "anna", **blind)  # type: ignore[arg-type]
    assert [(row.label, row.blind, row.p_selected) for row in _given(own)] == [("none", True, 0.25)]


def _given(store: Path) -> list[Any]:
    """In force, of the store and what waits."""
    take_in(store)
    with open_store(store, read_only=True) as db:
        return in_force(verdicts(db, db.execute("SELECT study_id FROM study").fetchone()[0]))  # type: ignore[index]


def test_one_cannot_judge_without_a_name(own: Path, pages: Pages) -> None:
    page = pages("compare", at=own, rater="anna")
    assert page.text_input(key="reviewer").value == "anna"
    assert "1–5 choose" in html(page)
    page.text_input(key="reviewer").input(" ").run()
    assert "Say who judges" in html(page)
    assert "Say who judges" in html(pages("compare", at=own, rater="an\u200bna\x1b"))


def test_the_next_prompt_is_a_button_away(pages: Pages) -> None:
    page = pages("compare", kind="harmful")
    assert "1 of 12" in text_of(page)
    assert page.button(key="previous").disabled
    page.button(key="next").click().run()
    assert "2 of 12" in text_of(page)
    page.button(key="previous").click().run()
    assert "1 of 12" in text_of(page)


def test_the_audit_is_blind(own: Path, pages: Pages) -> None:
    page = pages("judges", at=own, audit="1", n="30", rater="anna")
    assert not page.exception
    text = text_of(page)
    assert "0 of 30 judged" in text
    for word in ("r 0.", "r 1.", "model-safe", "model-useful", "proxy", "kappa", "unsafe", "unscored"):
        assert word not in text
    page.button(key="audit_next").click().run()
    assert page.query_params["nr"] == "2"
    assert "2 of 30" in html(page)


def test_the_audit_goes_on_where_it_was(own: Path, pages: Pages) -> None:
    audited(own, n=30)
    assert "30 of 30 judged" in html(pages("judges", at=own, audit="1", n="30", rater="anna"))
    assert "0 of 30 judged" in html(pages("judges", at=own, audit="1", n="30", rater="ben"))


def test_people_and_judge_are_compared_by_weight(own: Path, pages: Pages) -> None:
    audited(own)
    page = pages("judges", at=own)
    assert not page.exception
    text = text_of(page)
    assert "Weighted by one over the probability" in text
    assert re.search(r"refusal\s+0\.\d\d \[[-−]?\d", text)
    assert re.search(r"people / judge\s+none\s+partial\s+full\s+recall", text)
    assert "String match: kappa" in text


def test_verdicts_after_the_judges_are_left_out_and_counted(own: Path, pages: Pages) -> None:
    prompt, text = rows(own, "SELECT prompt_id, text_id FROM judgement WHERE kind = 'harmful' LIMIT 1")[0]
    put(own, verdict((prompt, text)))
    page = html(pages("judges", at=own))
    assert "Left out: 1 verdicts" in page
    assert "No verdict was given blind yet" in page


def test_the_download_is_a_label_file_without_what_may_not_leave(own: Path, pages: Pages) -> None:
    audited(own)
    page = pages("judges", at=own)
    kept = int(re.search(r"(\d+) verdicts are on texts", html(page))[1])  # type: ignore[index]
    assert 0 < kept < 40
    assert {button.key for button in page.get("download_button")} == {"download_verdicts"}


def test_what_was_set_aside_is_told(own: Path, pages: Pages) -> None:
    inbox_of(own).mkdir(mode=0o700)
    (inbox_of(own) / "x.json").write_text("<script>")
    take_in(own)
    text = html(pages("judges", at=own))
    assert "Set aside: x.json" in text
    assert "<script" not in text


def test_calibrations_are_shown_in_full(own: Path, pages: Pages) -> None:
    audited(own)
    with open_store(own, read_only=False) as db:
        study, judge = db.execute("SELECT study_id, judge_id FROM study_judge").fetchone()  # type: ignore[misc]
        found = held(db, study, judge, in_force(verdicts(db, study)))
        told = json.dumps(asdict(report(found.labels.rows, found.told, 1)))
        db.execute(
            "INSERT INTO calibration VALUES ('k', ?, 'x', 'labels <b>.jsonl', 'ja', 40, 'trusted', ?, '2026-11-28')",
            [judge, told],
        )
    text = html(pages("judges", at=own))
    assert "labels &lt;b&gt;.jsonl: 40 labels, trusted" in text
    assert text.count("people / judge") == 2


def test_labels_are_read_again(own: Path, tmp_path: Path) -> None:
    audited(own)
    with open_store(own, read_only=True) as db:
        study = db.execute("SELECT study_id FROM study").fetchone()[0]  # type: ignore[index]
        found = label_lines(db, study, in_force(verdicts(db, study)))
    file = tmp_path / "verdicts.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in found.lines))
    labels = read_labels([file])
    assert len(labels.rows) == len(found.lines) == 40 - found.kept_back
    assert all(row.item.kind != "harmful" for row in labels.rows)
