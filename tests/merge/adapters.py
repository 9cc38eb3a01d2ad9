"""Small random peft adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_adapter(base: Path, out: Path, *, seed: int = 1, **settings: Any) -> Path:
    """A LoRA adapter of `base` that moves weights by about a hundredth; `settings` go to peft's LoraConfig."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    wanted = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(**{**wanted, **settings}))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name or "modules_to_save" in name:
                weight.add_(torch.randn(weight.shape) * 0.02)
    tuned.save_pretrained(out)
    return out
