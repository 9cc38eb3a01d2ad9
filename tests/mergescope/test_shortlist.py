"""Shortlisted ratios: further mask seeds, samples and judgements there, and nowhere else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.store import open_store
from eval.tally import Tally, tally
from mergescope.comparing import compare
from mergescope.effects import recipe_hash
from mergescope.ground.errors import RecipeError
from mergescope.ground.ids import full_hash
from mergescope.ground.progress import Reporter
from mergescope.judging_plan import judging_plan
from mergescope.plan import plan_of
from mergescope.plan_text import plan_lines
from mergescope.study import Study, load_study
from mergescope.sweep import study_id, sweep
from tests.eval.served import Body, Reply, Server, completion, serving, verdict
from tests.mergescope.recipes import changed, own_models, written

Make = Callable[..., Path]
STORE = "results.duckdb"
PROMPTS = 6
LISTED = {"points": [0.5], "mask_seeds": 3, "samples": 2, "judge_repeats": 3}


class _Wavering(Server):
    """Grades by what it is shown, and every third time otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = self._grade

    def _grade(self, body: Body) -> Reply:
        axes = list(body["response_format"]["json_schema"]["schema"]["properties"])
        kind: Any = "harmful" if axes == ["safety", "refusal"] else "borderline" if "compliance" in axes else "benign"
        shown = int(full_hash(body["messages"])[:4], 16) % 4
        return completion(verdict(kind, fluency=1 + shown + (len(self.requests) % 3 == 0)))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-53")
    with serving(_Wavering()) as one:
        yield one


def recipe(base_url: str = "http://127.0.0.1:9/v1", **listed: object) -> dict[str, Any]:
    raw = own_models()
    raw["eval"]["sampling"]["temperature"] = 1
    raw["eval"]["judges"] = [{"kind": "openai", "model": "m", "base_url": base_url, "api_key_env": "JUDGE_KEY"}]
    raw["eval"] |= {"shortlist": {**LISTED, **listed}, "confirm_share": 0}
    return raw


def swept(file: Path) -> tuple[Study, Tally]:
    study = load_study(file)
    sweep(study, file.parent / STORE, Reporter(io.StringIO()))
    with open_store(file.parent / STORE, read_only=True) as connection:
        return study, tally(connection, study_id(study))


@pytest.mark.deep
def test_more_is_asked_at_shortlisted_ratios_alone(own_study: Make, server: Server) -> None:
    raw = recipe(server.base_url)
    file = own_study(raw)
    forecast = judging_plan(load_study(file), file.parent / STORE)
    study, found = swept(file)
    # three ratios and three references once; two further seeds of r 0.5, whose three merges answer twice
    assert (found.checkpoints, found.answers, found.answers_wanted) == (8, 66, 66)
    with open_store(file.parent / STORE, read_only=True) as connection:
        links = connection.execute(
            "SELECT ratio, mask_seed, samples FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) "
            "WHERE role = 'merge' ORDER BY ALL"
        ).fetchall()
        repeats = connection.execute(
            "SELECT ratio IS NOT DISTINCT FROM 0.5, text_id, max(repeat) FROM answer JOIN checkpoint USING "
            "(checkpoint_id) JOIN judgement USING (prompt_id, text_id) GROUP BY ALL"
        ).fetchall()
    assert [(float(r), *rest) for r, *rest in links] == [(0, 1, 1), (0.5, 1, 2), (0.5, 2, 2), (0.5, 3, 2), (1, 1, 1)]
    listed = {text for at, text, _ in repeats if at}
    assert all(most == (2 if text in listed else 0) for _, text, most in repeats)
    assert found.judgements == found.judgements_wanted == len(server.requests)

    assert forecast.answers is not None
    assert (forecast.answers.checkpoints, forecast.answers.wanted, forecast.answers.there) == (8, 66, 0)
    assert forecast.judges[0].at_most.questions == PROMPTS * (5 + 3 * 2 * 3) >= len(server.requests)
    after = judging_plan(study, file.parent / STORE)
    assert after.answers is not None
    assert (after.answers.there, after.judges[0].made, after.judges[0].at_most.questions) == (66, found.judgements, 0)

    asked = len(server.requests)
    assert swept(file)[1] == found
    assert len(server.requests) == asked  # nothing is asked again

    lines = list(compare(study, file.parent / STORE, "max usefulness"))
    assert "where the noise of one answer's usefulness comes from (variances), by m" in lines
    (line,) = [line for line in lines if "3 mask seeds:" in line and "prompts" in line]
    told = re.findall(r"(mask|prompt|mask x prompt|sample|judge) (-?[\d.e-]+)", line)
    assert len(told) == 5, line
    assert dict(told)["judge"] != "0"


@pytest.mark.deep
def test_a_shortlist_that_comes_later_does_only_the_new_work(own_study: Make, server: Server) -> None:
    raw = recipe(server.base_url)
    del raw["eval"]["shortlist"]
    _, before = swept(own_study(raw))
    assert (before.checkpoints, before.answers) == (6, 36)
    _, after = swept(own_study(recipe(server.base_url)))
    assert (after.checkpoints, after.answers) == (8, 66)
    assert after.judgements == after.judgements_wanted == len(server.requests)


@pytest.mark.deep
def test_metrics_take_no_further_judgements(own_study: Make, server: Server) -> None:
    """The median of three grades is another thing than one grade: shortlisted points would differ from the rest."""
    raw = recipe(server.base_url, mask_seeds=1, samples=1, judge_repeats=1)
    query = "SELECT checkpoint_id, metric, value, low, high FROM estimate ORDER BY ALL"
    found = []
    for repeats in (1, 3):
        file = own_study(changed(raw, "eval.shortlist.judge_repeats", repeats))
        swept(file)
        with open_store(file.parent / STORE, read_only=True) as connection:
            found.append(connection.execute(query).fetchall())
    assert found[0] == found[1]


@pytest.mark.deep
def test_two_seeds_are_too_few(own_study: Make) -> None:
    raw = recipe(mask_seeds=[7], samples=None)
    raw["eval"]["judges"] = [{"kind": "proxy", "language": "ja"}]
    file = own_study(raw)
    study, found = swept(file)
    assert (found.checkpoints, found.answers) == (7, 42)
    lines = list(compare(study, file.parent / STORE))
    assert "  r 0.5: not estimated: 2 mask seeds, at least 3 needed" in lines
    assert lines.index("") < lines.index("where the noise of one answer's balance comes from (variances), by proxy ja")
    labels = list(compare(study, file.parent / STORE, "max refusal_f1_any"))
    assert "refusal_f1_any is no mean of scores, so its noise is not split" in labels


def test_a_plan_counts_them(own_study: Make) -> None:
    file = own_study(recipe())
    found = plan_of(load_study(file), [], 24.0, gpus_named=False)
    lines = " ".join(" ".join(plan_lines(found)).split())
    assert "5 = 3 ratios x 1 mask seed + 2 with further seeds" in lines
    assert "0 of 3 mask seeds drawn" in lines
    assert "6 x 1 sample: 6 answers a checkpoint, 18 more of shortlisted points, 66 in all" in lines


@pytest.mark.parametrize(
    ("listed", "changes", "line"),
    [
        ({"points": [0.25]}, {}, r"eval\.shortlist\.points must be among `merge\.ratios`: 0\.25 is not"),
        ({"points": [0.5, "0.50"]}, {}, r"points repeat"),
        ({"points": []}, {}, r"eval\.shortlist\.points"),
        ({"mask_seeds": [4, 4]}, {}, r"eval\.shortlist.*different seeds"),
        ({"mask_seeds": 0}, {}, r"eval\.shortlist\.mask_seeds"),
        ({}, {"eval.sampling.temperature": 0}, r"shortlist\.samples must be 1 or left out: at `eval\.sampling"),
        ({}, {"eval.sampling.samples": 3}, r"shortlist\.samples must be at least `eval\.sampling\.samples`"),
        ({}, {"merge.method": "ties"}, r"ties draws nothing"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, listed: dict[str, object], changes: dict[str, object], line: str
) -> None:
    raw = recipe(**listed)
    for path, value in changes.items():
        changed(raw, path, value)
    with pytest.raises(RecipeError, match=line) as caught:
        load_study(written(tmp_path, raw))
    assert "\n" not in str(caught.value)


def test_without_a_shortlist_a_recipe_is_what_it_was(tmp_path: Path) -> None:
    raw = recipe()
    hashes = [recipe_hash(load_study(written(tmp_path, raw)).recipe)]
    raw["eval"]["shortlist"] = None
    hashes.append(recipe_hash(load_study(written(tmp_path, raw)).recipe))
    del raw["eval"]["shortlist"]
    hashes.append(recipe_hash(load_study(written(tmp_path, raw)).recipe))
    assert hashes[0] != hashes[1] == hashes[2]
