"""How likely a transformers model holds texts: log-softmax in float32, never over all positions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from eval.engines.roomy_cache import roomy_cache

LOGITS = 1 << 27
"""Most logits that are looked at together: 0.5 GB in float32."""


def log_likelihoods(model: Any, texts: Sequence[Sequence[int]], device: torch.device) -> list[float]:
    """Natural log-likelihood of each text's tokens but the first, given those before them.

    texts: token ids, two or more each. Texts (B, T) are padded on the right and read in runs of positions on a
    key-value cache, so that logits (B, run, V) stay within LOGITS.
    """
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=device)
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=device)
    positions = torch.arange(width, device=device).expand(len(texts), -1)
    run = max(1, LOGITS // (len(texts) * model.config.get_text_config().vocab_size))
    cache = roomy_cache(model.config)
    sums = torch.zeros(len(texts), dtype=torch.float64, device=device)
    for start in range(0, width - 1, run):
        stop = min(start + run, width - 1)
        logits = model(
            ids[:, start:stop],
            attention_mask=mask[:, :stop],
            position_ids=positions[:, start:stop],
            past_key_values=cache,
        ).logits.float()
        chosen = logits.gather(2, ids[:, start + 1 : stop + 1, None])[..., 0]
        logs = chosen - logits.logsumexp(2)
        sums += (logs * mask[:, start + 1 : stop + 1]).sum(1, dtype=torch.float64)
    return [float(value) for value in sums]
