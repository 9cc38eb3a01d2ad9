"""No recipe holds a key, and no error repeats one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import RecipeError
from mergescope.study import load_study
from tests.mergescope.recipes import changed, own_models, written

KEY = "sk-proj-canary0123456789abcdef"
LLM = {"kind": "openai", "model": "m"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eval.judges.0", {**LLM, "api_key": KEY}),
        ("eval.judges.0", {**LLM, "api_key": "plain"}),
        ("eval.judges.0", {**LLM, "api_key_env": KEY}),
        ("eval.judges.0", {**LLM, "model": f"m?{KEY}"}),
        ("eval.judges.0", {**LLM, "base_url": "https://user:canary@host/v1"}),
        ("eval.judges.0", {**LLM, "base_url": "https://host/v1?api_key=canary"}),
        ("models.base", "hf_canary0123456789abcdef"),
        ("study", KEY),
        (KEY, 1),
    ],
)
def test_a_key_is_refused_and_not_repeated(tmp_path: Path, path: str, value: object) -> None:
    with pytest.raises(RecipeError) as caught:
        load_study(written(tmp_path, changed(own_models(), path, value)))
    if path != KEY:
        assert "(not shown)" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_ordinary_addresses_and_names_pass(tmp_path: Path) -> None:
    judge = {**LLM, "base_url": "https://host:8000/v1", "api_key_env": "MY_KEY"}
    load_study(written(tmp_path, changed(own_models(), "eval.judges.0", judge)))
