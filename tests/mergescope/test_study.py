"""Recipes: what is read, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import RecipeError
from mergescope.study import load_study
from tests.mergescope.recipes import STUDIES, changed, demo, own_models, written


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_recipe_loads_and_explains_each_line(file: Path) -> None:
    study = load_study(file)
    assert study.recipe.study == file.stem
    for line in file.read_text(encoding="utf-8").splitlines():
        assert not line.strip() or "#" in line or line.endswith(":"), line


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            "merge.ratios",
            {"start": 0, "steps": "x"},
            "merge.ratios.steps: not understood (got 'x'); write a whole number",
        ),
        ("merge.ratios", {"steps": 1}, "merge.ratios.steps: out of range (got 1); it must be at least 2"),
        (
            "merge.ratios",
            {"start": 0, "stop": 1.5, "steps": 3},
            "merge.ratios.stop: not allowed (got 1.5); it must be between 0 and 1",
        ),
        (
            "merge.ratios",
            {"start": 0.5, "stop": 0.2, "steps": 3},
            "merge.ratios.stop: not allowed (got 0.2); it must be above start",
        ),
        ("merge.ratios", [0, -0.1], "merge.ratios[1]: not allowed (got -0.1); it must be between 0 and 1"),
        (
            "merge.ratios",
            [0.1234567],
            "merge.ratios[0]: not allowed (got 0.1234567); it must have at most 6 digits after the point",
        ),
        ("merge.ratios", "all", "merge.ratios: not understood (got 'all'); write a mapping of keys or a list"),
        ("merge.density_safe", 0, "merge.density_safe: not allowed (got 0); it must be above 0 and at most 1"),
        (
            "merge.density_useful",
            1.01,
            "merge.density_useful: not allowed (got 1.01); it must be above 0 and at most 1",
        ),
        ("merge.density_safe", "half", "merge.density_safe: not allowed (got 'half'); it must be a number"),
        (
            "merge.mask_seeds",
            [1, 1],
            "merge.mask_seeds: not allowed (got [1, 1]); it must be one or more different seeds",
        ),
        (
            "merge.method",
            "slerp",
            "merge.density_safe: not allowed (got 0.8); it must be left out: slerp drops nothing",
        ),
        (
            "merge",
            {"method": "ties", "mask_seeds": [1, 2]},
            "merge.mask_seeds: not allowed (got [1, 2]); "
            "it must hold one seed: ties draws nothing, so others make the same merges",
        ),
        ("merge.desnity_safe", 0.5, "merge.desnity_safe: unknown key; did you mean `density_safe`?"),
        ("eval.zzz", 1, "eval.zzz: unknown key; remove it"),
        ("train", "skipp", "train: not understood (got 'skipp'); write a mapping of keys or 'skip'"),
        ("train.safe.steps", 0, "train.safe.steps: out of range (got 0); it must be at least 1"),
        ("train.useful.dtype", "fp8", "train.useful.dtype: not understood (got 'fp8'); write 'float32' or 'bfloat16'"),
        ("eval.sets", [], "eval.sets: is empty (got []); give at least 1"),
        (
            "eval.judges.0.kind",
            "ouija",
            "eval.judges[0].kind: no such kind (got 'ouija'); use one of 'proxy', 'openai'",
        ),
        ("eval.judges.0", {}, "eval.judges[0].kind: is missing; add it"),
        (
            "eval.judges.0",
            {"kind": "openai", "model": "m", "base_url": "here"},
            "eval.judges[0].base_url: not understood (got 'here'); write an address that starts with http:// or https://",
        ),
        (
            "eval.checkpoints",
            [{"kind": "model", "name": "merges", "model": "o/n"}],
            "eval.checkpoints[0].name: the name of the study's own checkpoints (got 'merges'); give another",
        ),
        (
            "eval.checkpoints",
            [{"kind": "model", "name": "imported", "model": "o/n"}],
            "eval.checkpoints[0].name: what `--only` calls imported checkpoints (got 'imported'); give another",
        ),
        (
            "eval.checkpoints",
            [{"kind": "model", "name": "a", "model": "o/n"}, {"kind": "model", "name": "a", "model": "o/m"}],
            "eval: two of `eval.checkpoints` are called a; rename one",
        ),
        (
            "eval.checkpoints",
            [{"kind": "served", "nme": "rival", "model": "m", "base_url": "http://h/v1"}],
            "eval.checkpoints[0].nme: unknown key; did you mean `name`?",
        ),
        (
            "eval.checkpoints",
            [{"kind": "served", "zzz": "rival", "model": "m", "base_url": "http://h/v1"}],
            "eval.checkpoints[0].name: is missing; add it",
        ),
        (
            "eval.checkpoints",
            [{"kind": "model", "name": "rival"}],
            "eval.checkpoints[0].model: is missing; add it",
        ),
        (
            "eval.engine",
            {"tensor_parallel": 2},
            "eval.engine.tensor_parallel: not allowed (got 2); it must be 1: only `kind: vllm` splits a model",
        ),
        ("models", {"safe": "./x"}, "models.safe is named and trained as well: keep one"),
    ],
)
def test_a_mistake_is_one_line_with_place_value_and_cure(tmp_path: Path, path: str, value: object, line: str) -> None:
    file = written(tmp_path, changed(demo(), path, value))
    with pytest.raises(RecipeError) as caught:
        load_study(file)
    assert str(caught.value) == f"{file}: {line}"


def test_a_model_without_a_source_is_named(tmp_path: Path) -> None:
    raw = own_models()
    del raw["models"]["useful"]
    with pytest.raises(RecipeError, match=r"models\.useful is missing: name a folder or a Hub id, or train it"):
        load_study(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("study: a\nstudy: b\n", ":2: not readable as YAML: the key 'study' stands twice"),
        ("merge: {seed: 1\nx", ":2: not readable as YAML"),
        ("- 1\n", ": a recipe is a mapping of sections (got [1])"),
        ("", ": a recipe is a mapping of sections"),
        ("study: !!python/object/apply:os.system ['true']\n", ":1: not readable as YAML"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_study(file)
    assert str(caught.value).startswith(f"{file}{line}")


def test_missing_files_and_folders_have_their_own_lines(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe; write one with `mergescope init`"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="a folder, not a recipe"):
        load_study(tmp_path)
    (tmp_path / "latin").write_bytes(b"study: \xe9\xe8\n")
    with pytest.raises(RecipeError, match="save it as UTF-8"):
        load_study(tmp_path / "latin")


def test_two_served_models_of_one_name_would_share_an_identity(tmp_path: Path) -> None:
    served = {"kind": "served", "name": "big", "model": "m", "base_url": "http://127.0.0.1:1/v1", "api_key_env": "K"}
    raw = changed(own_models(), "eval.checkpoints", [served])
    raw["data"] = {"selfalign": {"seeds": "s.jsonl", "served": {**served, "model": "other"}, "filter": {"by": "judge"}}}
    with pytest.raises(RecipeError, match=r"data.selfalign.served.name is one of eval.checkpoints too: big"):
        load_study(written(tmp_path, raw))


def test_models_are_folders_beside_the_recipe_stage_outputs_or_hub_ids(tmp_path: Path) -> None:
    raw = own_models() | {"models": {"base": "owner/name", "safe": "./safe", "useful": "a/b/c"}}
    study = load_study(written(tmp_path, raw))
    assert study.model("base") == "owner/name"
    assert study.model("safe") == tmp_path / "safe"
    assert study.model("useful") == tmp_path / "a/b/c"
    assert not study.is_local
    trained = load_study(written(tmp_path, demo()))
    assert trained.model("safe") == tmp_path / "demo" / "model-safe"
    assert trained.is_local
