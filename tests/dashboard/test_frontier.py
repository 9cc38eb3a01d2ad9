"""The Frontier page: its rule, its chart, its flips, and a run that it follows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from dashboard.frontier.rule_panel import share
from dashboard.store import evidence
from dashboard.study.recipes import STUDIES_VARIABLE
from eval.estimates import write_estimates
from eval.recommended import Recommended
from eval.rule import parse_rule
from eval.store import open_store
from mergescope.ground.files import write_json
from mergescope.recommending import recommend
from mergescope.sweep import study_id
from tests.dashboard.conftest import Pages, html
from tests.mergescope.judged_study import STORE, judged_study

Changed = Callable[[str], Path]


@pytest.fixture
def changed(store: Path, tmp_path: Path) -> Changed:
    """A copy of the store after some SQL."""

    def change(sql: str) -> Path:
        path = tmp_path / "changed.duckdb"
        path.write_bytes(store.read_bytes())
        with open_store(path, read_only=False) as db:
            db.execute(sql)
        return path

    return change


def text(page: AppTest) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html(page)))


def chart(page: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return found


def test_the_page_and_the_command_line_say_the_same(pages: Pages, tmp_path: Path) -> None:
    study = judged_study(tmp_path, prompts=90)
    store = tmp_path / STORE
    with open_store(store, read_only=False) as db:
        db.execute("UPDATE study SET recipe = ?", [json.dumps({"seed": study.recipe.seed})])
    write_estimates(store, study_id(study))
    rule = "worst category of over_refusal_rate <= 60% at 0.9, safety >= 2 at 0.8; max balance; unscored: ignore"
    found = recommend(study, store, parse_rule(rule)).found
    assert found.best is not None
    assert found.more

    seen: list[Recommended] = []
    original = evidence.recommended
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "recommended", lambda *args: seen.append(original(*args)) or seen[-1])
        address = {"rule": "worst:over_refusal_rate<=60%@90;safety>=2@80", "best": "balance", "ignore": "unscored"}
        page = pages(at=store, **address)
        again = pages(at=store, **address, x="usefulness")
    assert seen == [found]  # once: draws are kept with the rule
    assert not again.exception
    standing = found.standings.points[found.best]
    said = text(page)
    assert (
        f"is best with P {share(standing.p_best)}; P(no point meets the rule) {share(found.standings.p_none)}" in said
    )
    assert f"in {', '.join(map(share, standing.meets))} of the draws" in said
    assert f"on the {found.prompts} prompts of the select split" in said
    assert f"Not told apart from it, 95 % for all together: {len(found.more)}" in said
    assert "adding prompts until a difference shows" in said


def test_the_recommended_point_is_the_one_that_pages_start_from(pages: Pages) -> None:
    page = pages()
    label = page.button(key="take").label
    assert float(page.selectbox(key="choice_pick").value) == float(label.removeprefix("r "))
    assert pages("export").selectbox(key="choice_pick").value == page.selectbox(key="choice_pick").value


def test_constraints_are_added_changed_and_removed(pages: Pages) -> None:
    page = pages()
    page.button(key="rule_add").click().run()
    assert page.query_params["rule"] == "safety>=4.2@95"
    page.number_input(key="rule_value_0").set_value(2.5).run()
    page.number_input(key="rule_confidence_0").set_value(80.0).run()
    page.selectbox(key="rule_scope_0").select("worst").run()
    assert page.query_params["rule"] == "worst:safety>=2.5@80"
    page.button(key="rule_add").click().run()
    page.selectbox(key="rule_metric_1").select("over_refusal_rate").run()
    assert page.query_params["rule"] == "worst:safety>=2.5@80;over_refusal_rate<=10%@95"
    page.selectbox(key="rule_op_1").select(">=").run()
    page.button(key="rule_remove_0").click().run()
    assert page.query_params["rule"] == "over_refusal_rate>=10%@95"
    page.button(key="rule_remove_0").click().run()
    assert "rule" not in page.query_params
    assert not page.exception


def test_the_objective_and_the_unscored_stand_in_the_address(pages: Pages) -> None:
    page = pages()
    page.selectbox(key="choice_best").select("over_refusal_rate").run()
    page.toggle(key="rule_unscored").set_value(True).run()
    assert (page.query_params["best"], page.query_params["ignore"]) == ("over_refusal_rate", "unscored")
    assert page.button(key="take").label in ("r 0.00", "r 0.25")  # neither refuses what it should answer


def test_nobody_meets_the_rule(pages: Pages) -> None:
    said = text(pages(rule="safety>=4.99@99.9"))
    none = re.search(r"No point meets the rule\. P\(no point meets it\) (0\.\d\d|1\.00|>\.99)\.", said)
    nearest = re.search(r"r \d\.\d\d comes nearest: it meets the constraints in (\S+) of the draws", said)
    assert none is not None
    assert nearest is not None
    assert float(nearest[1].strip("<>")) < 0.999


def test_a_part_of_the_address_that_is_no_constraint_is_named(pages: Pages) -> None:
    page = pages(rule="<script>x</script>;safety>=1@95")
    assert "constraint not understood (got &#x27;&lt;script&gt;" in html(page)
    assert page.selectbox(key="rule_metric_0").value == "safety"


def test_unscored_answers_are_said_to_count_at_their_worst(pages: Pages) -> None:
    assert "count at their worst" in text(pages(rule="safety>=2@95"))
    assert "are left out of constraints on safety" in text(pages(rule="safety>=2@95", ignore="unscored"))


def test_the_rule_is_drawn_where_its_metric_is(pages: Pages) -> None:
    layout = chart(pages(rule="safety>=2.5@50;over_refusal_rate<=90%@50", x="over_refusal_rate", y="safety"))["layout"]
    assert [(shape["x0"], shape["y0"]) for shape in layout["shapes"]] == [(0, 2.5), (90.0, 0)]
    assert any("best under the rule" in note["text"] for note in layout["annotations"])


def test_a_third_metric_is_the_colour(pages: Pages) -> None:
    def key(page: AppTest) -> list[str]:
        return [
            t["marker"]["colorbar"]["title"]["text"] for t in chart(page)["data"] if "colorbar" in t.get("marker", {})
        ]

    assert key(pages(colour="detail")) == ["detail (1–5)"]
    assert key(pages()) == []


def test_mask_seeds_of_a_ratio_are_one_point(pages: Pages, changed: Changed) -> None:
    path = changed("UPDATE checkpoint SET mask_seed = 2, ratio = 0.5, label = 'r 0.50' WHERE ratio = 0.75")
    page = pages(at=path, pick="0.5@2")
    handles = [trace["customdata"] for trace in chart(page)["data"] if trace.get("customdata")]
    assert handles[0] == [["0"], ["0.25"], ["0.5@1"], ["1"]]
    assert handles[2] == [["0.5@1"], ["0.5@2"]]
    assert "range of the seeds" in text(page)


def test_a_second_study_may_be_laid_over(pages: Pages, changed: Changed) -> None:
    path = changed(
        "INSERT INTO study SELECT 'y1_other', 'plain', recipe, recipe_hash FROM study;"
        "INSERT INTO checkpoint SELECT * REPLACE (checkpoint_id || '_' AS checkpoint_id, 'linear' AS method) "
        "FROM checkpoint WHERE kind = 'merge';"
        "INSERT INTO study_checkpoint SELECT * REPLACE ('y1_other' AS study_id, checkpoint_id || '_' AS checkpoint_id) "
        "FROM study_checkpoint WHERE role = 'merge';"
        "INSERT INTO study_set SELECT * REPLACE ('y1_other' AS study_id) FROM study_set;"
        "INSERT INTO study_judge SELECT * REPLACE ('y1_other' AS study_id) FROM study_judge;"
        "INSERT INTO estimate SELECT * REPLACE ('y1_other' AS study_id, checkpoint_id || '_' AS checkpoint_id) "
        "FROM estimate;"
        "INSERT INTO study SELECT 'y1_third', 'elsewhere', recipe, recipe_hash FROM study WHERE name = 'plain';"
        "INSERT INTO study_checkpoint SELECT * REPLACE ('y1_third' AS study_id) FROM study_checkpoint "
        "WHERE study_id = 'y1_other';"
        "INSERT INTO study_set SELECT 'y1_third', set_id FROM study_set WHERE study_id = 'y1_other' LIMIT 1;"
        "INSERT INTO study_judge SELECT * REPLACE ('y1_third' AS study_id) FROM study_judge "
        "WHERE study_id = 'y1_other';"
        "INSERT INTO estimate SELECT * REPLACE ('y1_third' AS study_id) FROM estimate WHERE study_id = 'y1_other'"
    )
    assert "over" not in [box.key for box in pages().selectbox]
    page = pages(at=path, study="synthetic", over="plain")
    assert page.selectbox(key="choice_over").options == [
        "no second curve",
        "plain linear: elsewhere",
        "plain linear: plain",
    ]
    curve = next(trace for trace in chart(page)["data"] if trace.get("name") == "plain linear: plain")
    assert "customdata" not in curve
    assert "compare its shape" not in text(page)
    assert "compare its shape" in text(pages(at=path, study="synthetic", over="elsewhere"))


def test_each_count_of_flips_leads_to_its_prompts(pages: Pages) -> None:
    links = [link.proto for link in pages(pick="1", baseline="0").get("page_link")]
    flips = [link for link in links if "flip=" in link.query_string]
    assert {link.label.split(" ", 1)[1] for link in flips} >= {"unsafe → safe", "borderline answered → refused"}
    for link in flips:
        address = dict(parse_qsl(link.query_string, keep_blank_values=True))
        assert address["sel"] == "1,0"
        assert f">{link.label.split()[0]} of 36 prompts<" in html(pages("compare", **address))


def test_all_points_are_compared_with_the_baseline_on_request(pages: Pages) -> None:
    assert "p (Holm)" not in text(pages(baseline="0"))
    page = pages(baseline="0", all="1", all_by="over_refusal_rate")
    table = html(page).split('aria-label="All points against r 0.00"')[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + 4
    assert "p of flips (Holm)" in table


@pytest.mark.parametrize(("age", "part"), [(0.0, "answers 7 / 5,040 answers · 12 a second"), (60.0, "stopped at 7 of")])
def test_a_run_is_followed(
    pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, part: str
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"study": "synthetic"}), encoding="utf-8")
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path))
    progress = {"stage": "sweep", "task": "answers", "state": "running", "unit": "answers", "note": "", "errors": {}}
    numbers = {"done": 7, "total": 5040, "rate": 12.0, "remaining_s": 400.0, "heartbeat": time.time() - age}
    write_json(tmp_path / "synthetic" / "progress.json", progress | numbers)
    page = pages()
    assert not page.exception
    assert part in text(page)


def test_every_judge_stands_in_the_strip_with_its_trust(pages: Pages, changed: Changed) -> None:
    path = changed(
        "INSERT INTO judge SELECT * REPLACE ('j2' AS judge_id, 'second' AS name, 'llm' AS kind, 'trusted' AS trust) "
        "FROM judge; INSERT INTO study_judge SELECT * REPLACE ('j2' AS judge_id, 1 AS position) FROM study_judge"
    )
    assert re.search(
        r"proxy ja\s+judge \(proxy, no LLM\), not calibrated\s+second\s+judge, trusted", text(pages(at=path))
    )
