"""A merge point as mergekit's own config, and the stock command that runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import yaml

from merge.methods import EPSILON, METHODS
from merge.points import MergePoint, Role
from mergescope.ground.ids import shortest

CONFIG = "mergekit.yaml"
"""File name of the exported config."""
OUTPUT = "merged"
"""Folder that the exported command writes."""
INPUTS: dict[Role, str] = {"base": "./inputs/base", "safe": "./inputs/safe", "useful": "./inputs/useful"}
"""The models of an exported config. The leading `./` matters: mergekit's model card asks the Hub about any name
with a single slash, even where a folder of that name is there."""
ROLES: dict[str, Role] = {name: role for role, name in INPUTS.items()}
"""Roles by those names."""


def mergekit_config(
    point: MergePoint, base: str, safe: str, useful: str, out_dtype: str, chat_template: str | None = None
) -> dict[str, Any]:
    """The config of one merge point, with decimals as Decimal (see `to_yaml`).

    base, safe, useful: the models as mergekit shall find them: folders relative to where the command runs, or
    Hub ids. out_dtype: torch's name, such as bfloat16; the arithmetic is float32 whatever it is. chat_template:
    its text, where the merge shall not carry the base's; None copies tokenizer and template from the base.
    """
    names: dict[Role, str] = {"base": base, "safe": safe, "useful": useful}
    config: dict[str, Any] = {
        "merge_method": point.method,
        "base_model": names[point.base_role],
        "models": [{"model": names[role], **_model_parameters(point, role)} for role in point.listed_roles],
        "parameters": _parameters(point),
        "dtype": "float32",
        "out_dtype": out_dtype,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config


def _model_parameters(point: MergePoint, role: Role) -> dict[str, Any]:
    values = {
        "weight": _along_layers(point.weights(role)),
        "density": shortest(point.density(role)),
        "epsilon": EPSILON,
    }
    known = METHODS[point.method].model_parameters
    return {"parameters": {name: values[name] for name in known}} if known else {}


def _parameters(point: MergePoint) -> dict[str, Any]:
    values = {
        "lambda": shortest(point.lambda_),
        "normalize": point.normalize,
        "rescale": point.rescale,
        "int8_mask": point.int8_mask,
        "t": _along_layers(point.weights("safe")),
    }
    silent = set() if point.int8_mask else {"int8_mask"}
    return {name: values[name] for name in METHODS[point.method].parameters if name not in silent}


def _along_layers(values: tuple[Decimal, ...]) -> Decimal | list[Decimal]:
    """One value, or a list, between whose entries mergekit interpolates from the first layer to the last."""
    return shortest(values[0]) if len(set(values)) == 1 else [shortest(value) for value in values]


def to_yaml(config: dict[str, Any]) -> str:
    """`config` as YAML, keys in the order given; decimals keep their digits (0.000001, not 1e-06)."""
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def command(point: MergePoint, threads: int, *, trust_remote_code: bool = False) -> list[str]:
    """The stock command that makes the merge, run beside the config: the seed stands only here, for mergekit
    ignores one in the config, and the scales k depend on the number of threads in their last bit."""
    return [
        "mergekit-yaml",
        CONFIG,
        OUTPUT,
        "--random-seed",
        str(point.mask_seed),
        "--num-threads",
        str(threads),
        "--device",
        "cpu",
        *(["--trust-remote-code"] if trust_remote_code else []),
    ]


class _Dumper(yaml.SafeDumper):
    """SafeDumper that knows decimals, and writes no aliases: they are refused where bundles are read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same for all
        return True


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = format(value, "f")
    return dumper.represent_scalar("tag:yaml.org,2002:float" if "." in text else "tag:yaml.org,2002:int", text)


_Dumper.add_representer(Decimal, _decimal)
