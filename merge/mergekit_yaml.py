"""A merge point as mergekit's own config, and the stock command that runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import yaml

from merge.points import MergePoint, Role
from mergescope.ground.ids import shortest

CONFIG = "mergekit.yaml"
"""File name of the exported config."""
OUTPUT = "merged"
"""Folder that the exported command writes."""
INPUTS: dict[Role, str] = {"base": "./inputs/base", "safe": "./inputs/safe", "useful": "./inputs/useful"}
"""The models of an exported config. The leading `./` matters: mergekit's model card asks the Hub about any name
with a single slash, even where a folder of that name is there."""


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
        "models": [
            {
                "model": names[role],
                "parameters": {"weight": shortest(point.weight(role)), "density": shortest(point.density(role))},
            }
            for role in point.term_roles
        ],
        "parameters": {
            "lambda": shortest(point.lambda_),
            "normalize": point.normalize,
            "rescale": point.rescale,
        },
        "dtype": "float32",
        "out_dtype": out_dtype,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    return config


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
    """SafeDumper that knows decimals."""


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = format(value, "f")
    return dumper.represent_scalar("tag:yaml.org,2002:float" if "." in text else "tag:yaml.org,2002:int", text)


_Dumper.add_representer(Decimal, _decimal)
