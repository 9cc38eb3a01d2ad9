"""`mergescope init` writes recipes that load."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.wrapping import wrappers
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.init import Answers, not_recognised, not_there, recipe_text, write_recipe
from mergescope.study import load_study
from tests.mergescope.recipes import STUDIES


def _answers(**others: object) -> Answers:
    plain: dict[str, object] = {
        "base": "owner/base",
        "safe": "./m/safe",
        "useful": "m/a b/useful",
        "prompts": (Path("p 1.jsonl"), Path("q.jsonl")),
        "engine": "transformers",
        "judge": "proxy",
        "language": "ja",
    }
    return Answers(**(plain | others))  # type: ignore[arg-type]


def test_paths_are_written_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("my studies/Mine: first.yaml")
    write_recipe(file, _answers())
    study = load_study(file)
    assert study.recipe.study == "Mine-first"
    assert study.model("base") == "owner/base"
    assert study.model("safe") == (tmp_path / "my studies" / ".." / "m" / "safe")
    assert study.resolve(study.recipe.eval.sets[0].path).resolve() == tmp_path / "p 1.jsonl"
    assert [s.name for s in study.recipe.eval.sets] == ["p-1", "q"]


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m" / "safe").mkdir(parents=True)
    (tmp_path / "q.jsonl").touch()
    assert not_there(_answers()) == ["m/a b/useful", "p 1.jsonl"]
    answers = _answers(base="./b", useful="owner/base+./m/adapter")
    assert not_there(answers) == ["./b", "./m/adapter", "p 1.jsonl"]


@pytest.mark.parametrize(
    ("first_line", "form", "licence"),
    [
        ('{"question_id": 1, "category": "math", "turns": ["a"]}', "mt-bench", "Apache-2.0"),
        ('{"key": "a", "kind": "benign"}', "mergescope", "unknown"),
        ('{"ID": 1, "text": "a", "output": "b"}', "mergescope", "unknown"),
        ('{"ID": 1, "text": "a"}', "mergescope", "unknown"),
        ("", "mergescope", "unknown"),
    ],
)
def test_a_format_is_written_where_the_columns_settle_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_line: str, form: str, licence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.jsonl").write_text(first_line, encoding="utf-8")
    write_recipe(Path("x.yaml"), _answers(prompts=(Path("p.jsonl"),)))
    (one_set,) = load_study(Path("x.yaml")).recipe.eval.sets
    assert (one_set.format, one_set.licence) == (form, licence)


@pytest.mark.parametrize(
    ("first_line", "said"),
    [
        ('{"key": "a", "kind": "benign"}', []),
        ('{"question": "a"}', ["not recognised as any format: p q.jsonl; `mergescope prompts 'p q.jsonl'` says "]),
        ("", ["not recognised as any format: "]),
        ('{"ID": 1, "text": "a"}', ["set `format` (and `kind`, if it asks for it) in the recipe: p q.jsonl may be "]),
    ],
)
def test_prompts_of_no_plain_format_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_line: str, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p q.jsonl").write_text(first_line, encoding="utf-8")
    lines = list(not_recognised(_answers(prompts=(Path("p q.jsonl"), Path("none.jsonl")))))
    assert len(lines) == len(said)
    for line, start in zip(lines, said, strict=True):
        assert line.startswith(start)


def test_an_llm_judge_comes_before_the_proxy(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    write_recipe(file, _answers(judge="some: model", language="en"))
    assert [judge.kind for judge in load_study(file).recipe.eval.judges] == ["openai", "proxy"]


def test_the_shipped_recipe_for_own_models_is_what_init_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(STUDIES.parent)
    answers = _answers(
        base="./studies/models/base",
        safe="./studies/models/safe",
        useful="./studies/models/useful",
        prompts=(Path("studies/data/prompts.jsonl"),),
    )
    shipped = (STUDIES / "own-models.yaml").read_text(encoding="utf-8")
    assert recipe_text(Path("studies/own-models.yaml"), answers) == shipped


def test_what_is_commented_out_in_the_shipped_recipe_can_be_taken_in(tmp_path: Path) -> None:
    text = (STUDIES / "own-models.yaml").read_text(encoding="utf-8")
    for key in ("limit", "wrappers"):
        text = text.replace(f"      # {key}:", f"      {key}:")
    text = text.replace("\n  # checkpoints:", "\n  checkpoints:").replace("\n  #   - {kind", "\n    - {kind")
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    section = load_study(tmp_path / "x.yaml").recipe.eval
    assert [checkpoint.kind for checkpoint in section.checkpoints] == ["model", "served"]
    assert set(section.sets[0].wrappers) <= set(wrappers())
    assert section.sets[0].limit == 60


def test_nothing_is_overwritten_and_nothing_impossible_is_written(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(RecipeError, match=r"eval\.engine\.kind"):
        write_recipe(file, _answers(engine="abacus"))
    assert not file.exists()
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(MergescopeError, match="exists already"):
        write_recipe(file, _answers())
    assert file.read_text(encoding="utf-8") == "mine"
