"""The exported config: digits, order, and what mergekit reads from it."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
import yaml

from merge.mergekit_yaml import command, mergekit_config, to_yaml
from merge.methods import METHODS, MethodName
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


def test_slerp_goes_from_model_useful_by_t() -> None:
    config = mergekit_config(a_point("0.3", method="slerp"), "b", "s", "u", "float32")
    assert config["base_model"] == "u"
    assert config["models"] == [{"model": "u"}, {"model": "s"}]
    assert config["parameters"] == {"t": Decimal("0.3")}


def test_linear_weighs_the_two_models() -> None:
    config = mergekit_config(a_point("0.3", method="linear"), "b", "s", "u", "float32")
    assert [(e["model"], str(e["parameters"]["weight"])) for e in config["models"]] == [("u", "0.7"), ("s", "0.3")]


def test_a_gradient_is_a_list_unless_all_layers_agree() -> None:
    point = a_point("0.3", gradient=(Decimal("0.123456"), Decimal(1)))
    text = to_yaml(mergekit_config(point, "b", "s", "u", "float32"))
    first, second = (entry["parameters"]["weight"] for entry in yaml.safe_load(text)["models"])
    assert (first, second) == ([0.0370368, 0.3], [0.9629632, 0.7])
    ends = mergekit_config(a_point("0", gradient=point.gradient), "b", "s", "u", "float32")["models"]
    assert [entry["parameters"]["weight"] for entry in ends] == [0, 1]


@pytest.mark.parametrize("name", METHODS)
def test_mergekit_knows_every_key_of_every_method(name: MethodName) -> None:
    from mergekit import merge_methods
    from mergekit.config import InputModelDefinition, MergeConfiguration
    from mergekit.merge_methods import ParameterScope

    point = a_point(method=name, int8_mask="int8_mask" in METHODS[name].parameters)
    config = yaml.safe_load(to_yaml(mergekit_config(point, "./b", "./s", "./u", "float32", "{{ x }}")))
    MergeConfiguration.model_validate(config)
    assert set(config) <= set(MergeConfiguration.model_fields)
    spec = {parameter.name: parameter for parameter in merge_methods.get(name).spec.parameters}
    for entry in config["models"]:
        assert set(entry) <= set(InputModelDefinition.model_fields)
        assert tuple(entry.get("parameters", {})) == METHODS[name].model_parameters
    assert tuple(config["parameters"]) == METHODS[name].parameters
    assert all(spec[key].scope != ParameterScope.SHARED for key in METHODS[name].model_parameters)
    assert all(spec[key].scope == ParameterScope.SHARED for key in METHODS[name].parameters)
    if "rescale" in METHODS[name].parameters:
        assert spec["rescale"].default is METHODS[name].rescale


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


def test_no_value_is_an_alias_of_another() -> None:
    text = to_yaml(mergekit_config(a_point(method="della"), "b", "s", "u", "float32"))
    assert text.count("epsilon: 0.15\n") == 2
    assert "*" not in text
