"""The exported config: digits, order, and what mergekit reads from it."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import yaml

from merge.mergekit_yaml import command, mergekit_config, to_yaml
from tests.merge.conftest import a_point

EXPECTED = """\
merge_method: dare_ties
base_model: b
models:
- model: s
  parameters:
    weight: 0.000001
    density: 0.53
- model: u
  parameters:
    weight: 0.999999
    density: 1
parameters:
  lambda: 1
  normalize: false
  rescale: true
dtype: float32
out_dtype: bfloat16
"""


def test_decimals_keep_their_digits_and_models_their_order() -> None:
    point = a_point("0.000001", safe="0.530", useful="1")
    assert to_yaml(mergekit_config(point, "b", "s", "u", "bfloat16")) == EXPECTED
    assert yaml.safe_load(EXPECTED)["models"][0]["parameters"]["weight"] == 0.000001


def test_complement_is_decimal() -> None:
    config = mergekit_config(a_point("0.9"), "b", "s", "u", "float32")
    assert config["models"][1]["parameters"]["weight"] == Decimal("0.1")


def test_into_useful_has_one_model_and_model_useful_as_base() -> None:
    config = mergekit_config(a_point("0.4", mode="into-useful"), "b", "s", "u", "float32")
    assert config["base_model"] == "u"
    assert [entry["model"] for entry in config["models"]] == ["s"]


def test_chat_template_survives_yaml() -> None:
    template = "{% for m in messages %}\n  {{ m['content'] }}: 「…」\n{% endfor %}"
    text = to_yaml(mergekit_config(a_point(), "b", "s", "u", "float32", template))
    assert yaml.safe_load(text)["chat_template"] == template


def test_command_holds_seed_threads_and_device() -> None:
    words = command(a_point(seed=42), threads=3)
    assert words[:3] == ["mergekit-yaml", "mergekit.yaml", "merged"]
    assert dict(zip(words[3::2], words[4::2], strict=True)) == {
        "--random-seed": "42",
        "--num-threads": "3",
        "--device": "cpu",
    }


def test_dashboard_can_import_it_without_torch() -> None:
    code = "import merge.mergekit_yaml, merge.bundle, merge.identity, merge.masks, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
