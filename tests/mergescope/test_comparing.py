"""What `mergescope compare` says of a study's points."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval.lengths import answer_lengths
from eval.rule import parse_rule
from eval.scores import load_scores
from eval.store import open_store
from mergescope import cli
from mergescope.comparing import compare
from mergescope.ground.errors import MergescopeError
from mergescope.recommending import recommend
from mergescope.study import Study
from mergescope.sweep import study_id
from tests.mergescope.judged_study import STORE, judged_study
from tests.mergescope.recipes import own_models, written


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return judged_study(tmp_path_factory.mktemp("judged"), prompts=90)


def test_the_recommended_points_are_named(judged: Study) -> None:
    """Harmful prompts are refused from r .35 on and borderline ones from .65 on: the best lies between."""
    lines = list(compare(judged, judged.file.parent / STORE))
    recommended = [line[:6] for line in lines if line.endswith("recommended")]
    assert "r 0.50" in recommended
    assert not set(recommended) & {"r 0.00", "r 0.10", "r 0.90", "r 1.00"}
    shares = [float(share) for line in lines for share in re.findall(r"\] +([\d.]+)%", line)]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert "balance minus that of model-useful (p over all points: Holm)" in lines
    assert any("adding prompts until a difference shows" in line for line in lines)
    assert any("not estimated: 1 mask seed" in line for line in lines)
    assert any(re.match(r"over_refusal_rate: \d+ prompts change", line) for line in lines)


def test_the_confirm_split_stays_unread(judged: Study) -> None:
    found = recommend(judged, judged.file.parent / STORE, parse_rule("max balance"))
    assert not found.table.items.confirm.any()
    assert f"on the {found.table.items.kind.size} prompts of the select split" in "\n".join(
        compare(judged, judged.file.parent / STORE)
    )


def test_constraints_are_shown_with_their_shares(judged: Study) -> None:
    rule = "violation_rate <= 1%; max balance"
    lines = list(compare(judged, judged.file.parent / STORE, rule, "base"))
    assert lines[0] == "rule: violation_rate <= 0.01 at 0.95; max balance"
    assert sum("does not meet the rule" in line for line in lines) == 11
    assert any(re.match(r"P\(no point meets the rule\) \d", line) for line in lines)
    assert "violation_rate minus that of base (p over all points: Holm)" in lines


def test_an_unknown_baseline_is_named(judged: Study) -> None:
    with pytest.raises(MergescopeError, match=r"--baseline: no such checkpoint .got 'gpt'.; use one of base"):
        list(compare(judged, judged.file.parent / STORE, baseline="gpt"))


@pytest.mark.parametrize("command", ["compare", "refine"])
def test_without_results_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, judged: Study
) -> None:
    raw = own_models() | {"study": "another"}
    written(tmp_path, raw)
    for store, part in ((tmp_path / STORE, "no results yet"), (judged.file.parent / STORE, "no judged merges")):
        arguments = [command, str(tmp_path / "recipe.yaml"), "--store", str(store)]
        monkeypatch.setattr("sys.argv", ["mergescope", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert part in line


def test_answers_have_lengths(judged: Study) -> None:
    """Every checkpoint, by kind, in characters as the store holds them."""
    with open_store(judged.file.parent / STORE, read_only=True) as connection:
        (judge,) = connection.execute("SELECT judge_id FROM study_judge").fetchall()[0]
        table = load_scores(connection, study_id(judged), judge)
        lengths = answer_lengths(connection, study_id(judged), table)
        found = connection.execute(
            "SELECT checkpoint_id, kind, avg(length(body)), avg(tokens), count(*) FROM answer JOIN answer_turn USING "
            "(answer_id) JOIN text ON text.text_id = answer_turn.text_id JOIN set_item USING (prompt_id) GROUP BY ALL"
        ).fetchall()
    expected = {(name, kind): (characters, tokens, n) for name, kind, characters, tokens, n in found}
    assert len(lengths) == len(expected) == 14 * 3
    for length in lengths:
        characters, tokens, n = expected[length.checkpoint_id, length.kind]
        assert length.characters.value == pytest.approx(characters)
        assert length.tokens.value == pytest.approx(tokens)
        assert (length.characters.n, length.characters.worst) == (n, None)
        assert length.characters.low is not None
        assert length.characters.high is not None
        assert length.characters.low < characters < length.characters.high
