"""Models that bring code of their own: a Llama under another name."""

from __future__ import annotations

import json

from merge.sources import Models

CONFIGURATION = """
print("what a model's own code says on standard output")
from transformers import LlamaConfig


class OwnConfig(LlamaConfig):
    model_type = "own_llama"
"""
MODELING = """
from transformers import LlamaForCausalLM

from .configuration_own import OwnConfig


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""
AUTO_MAP = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}


def with_own_code(models: Models) -> Models:
    """Turn three Llamas into models that only their own code can read; returns them as trusted."""
    for folder in (models.base, models.safe, models.useful):
        (folder / "configuration_own.py").write_text(CONFIGURATION)
        (folder / "modeling_own.py").write_text(MODELING)
        config = json.loads((folder / "config.json").read_text())
        config |= {"architectures": ["OwnForCausalLM"], "model_type": "own_llama", "auto_map": AUTO_MAP}
        (folder / "config.json").write_text(json.dumps(config))
    return Models(models.base, models.safe, models.useful, trust_remote_code=True)
