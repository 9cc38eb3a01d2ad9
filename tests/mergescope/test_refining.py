"""Further ratios: where they lie, and how they come into a recipe."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from mergescope.ground.errors import MergescopeError
from mergescope.refining import edited, further_ratios, refine
from mergescope.study import Study, load_study, parse_recipe
from tests.mergescope.judged_study import STORE, judged_study
from tests.mergescope.recipes import STUDIES, own_models, written


def ratios(*values: str) -> list[Decimal]:
    return [Decimal(value) for value in values]


ELEVEN = "{start: 0, stop: 1, steps: 11}"
TENTHS = ratios("0", "0.2", "0.4", "0.6", "1")


def test_the_gaps_inside_and_at_the_edges_are_halved() -> None:
    assert further_ratios(TENTHS, ratios("0.2"), None) == ratios("0.1", "0.3")
    assert further_ratios(TENTHS, ratios("0.4", "0.6"), None) == ratios("0.3", "0.5", "0.8")
    assert further_ratios(TENTHS, ratios("0"), None) == ratios("0.1")
    assert further_ratios(ratios("0", "0.4", "0.5"), ratios("0.4"), None) == ratios("0.2", "0.45")


def test_so_many_points_go_into_the_widest_gaps() -> None:
    assert further_ratios(TENTHS, ratios("0.2"), 1) == ratios("0.1")
    assert further_ratios(TENTHS, ratios("0.2"), 3) == ratios("0.05", "0.1", "0.3")
    assert further_ratios(TENTHS, ratios("0.6"), 2) == ratios("0.5", "0.8")


def test_six_digits_are_the_limit() -> None:
    assert further_ratios(ratios("0", "0.000001"), ratios("0"), None) == []
    assert further_ratios(ratios("0", "0.000003"), ratios("0"), 5) == ratios("0.000001", "0.000002")
    assert further_ratios(ratios("0.5"), ratios("0.5"), None) == []


@pytest.mark.parametrize("name", ["own-models.yaml", "demo.yaml", "llm-jp-3-13b.yaml"])
def test_a_shipped_recipe_is_edited_in_one_place(tmp_path: Path, name: str) -> None:
    shutil.copy(STUDIES / name, tmp_path / name)
    before = (tmp_path / name).read_text(encoding="utf-8")
    after = edited(tmp_path / name, "[0, 0.45, 1]")
    changed = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    ((old, new),) = changed
    assert old.partition("#")[2] == new.partition("#")[2] != ""
    assert parse_recipe(after, tmp_path / name).merge.ratio_list() == ratios("0", "0.45", "1")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("ratios: {start: 0, stop: 1, steps: 11}", "ratios:\n  - 0\n  - 1", "not on one line in brackets"),
        ("  ratios: {start: 0, stop: 1, steps: 11}", "  threads: 1", "not on one line in brackets"),
        ("ratios: {start: 0, stop: 1, steps: 11}", "ratios: [0,\n    1]", "not on one line in brackets"),
        ("ratios: {start: 0, stop: 1, steps: 11}", "ratios: &all [0, 1]\n  gradient: *all", "is named elsewhere"),
    ],
)
def test_other_forms_are_left_to_the_user(tmp_path: Path, old: str, new: str, part: str) -> None:
    file = tmp_path / "recipe.yaml"
    text = (STUDIES / "own-models.yaml").read_text(encoding="utf-8").replace(old, new)
    file.write_text("\n".join(line.partition("  #")[0] for line in text.splitlines()), encoding="utf-8")
    with pytest.raises(MergescopeError) as caught:
        edited(file, "[0, 0.5, 1]")
    assert part in caught.value.line()
    assert "[0, 0.5, 1]" in caught.value.line()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results file of a judged study, only read here."""
    return judged_study(tmp_path_factory.mktemp("judged"), prompts=60).file.parent / STORE


@pytest.fixture
def judged(tmp_path: Path) -> Study:
    """That study's recipe with the ratios on one line, to change."""
    file = written(tmp_path, own_models())
    text = file.read_text(encoding="utf-8").replace(
        "  ratios:\n  - 0\n  - 0.5\n  - 1\n", f"  ratios: {ELEVEN}  # eleven\n"
    )
    file.write_text(text, encoding="utf-8")
    return load_study(file)


def test_a_study_is_refined(judged: Study, results: Path) -> None:
    text = judged.file.read_text(encoding="utf-8")
    lines = list(refine(judged, results, points=2))
    assert lines[0] == "rule: max balance"
    assert judged.file.read_text(encoding="utf-8") == text
    assert "--write" in lines[-1]
    assert "mergescope run" in list(refine(judged, results, points=2, write=True))[-1]
    assert "# eleven" in judged.file.read_text(encoding="utf-8")
    wider = load_study(judged.file).recipe.merge.ratio_list()
    assert len(wider) == 13
    assert set(judged.recipe.merge.ratio_list()) < set(wider)
    assert ", ".join(str(r) for r in wider if r not in judged.recipe.merge.ratio_list()) in lines[2]


def test_what_was_asked_for_is_not_proposed_again(judged: Study, results: Path) -> None:
    """The new ratios are in the recipe and not answered yet: the next proposal goes between them."""
    list(refine(judged, results, write=True))
    once = set(load_study(judged.file).recipe.merge.ratio_list())
    list(refine(load_study(judged.file), results, write=True))
    assert once < set(load_study(judged.file).recipe.merge.ratio_list())


def test_nothing_to_refine_is_one_line(judged: Study, results: Path) -> None:
    with pytest.raises(MergescopeError, match="--rule: no point meets the rule"):
        list(refine(judged, results, "violation_rate <= 0.1%; max balance"))
    with pytest.raises(MergescopeError, match="--points: nothing to propose"):
        list(refine(judged, results, points=0))
