"""A small Llama from scratch: the base of the demo. Real studies start from a published base instead."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergescope.ground.errors import DataError
from mergescope.ground.progress import Reporter
from mergescope.ground.seeds import derive_seed
from trainer.config import PretrainSection
from trainer.tokenizer import BOS, EOS, train_tokenizer

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of tokens that carry no loss."""
WARMUP_SHARE = 0.05
"""Share of the steps in which the learning rate rises."""
THREADS = 2
"""Threads of every training on CPU, fixed because sums depend on their number in the last bit."""


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence to learn."""

    ids: list[int]
    """Token ids, (T,)."""
    labels: list[int]
    """The same ids where the token is learned, -100 elsewhere, (T,)."""


def train_base(section: PretrainSection, corpus: Path, out: Path, seed: int, reporter: Reporter) -> dict[str, Any]:
    """Train a Llama from scratch on `corpus` and write a loadable checkpoint into `out`.

    Returns what the manifest should hold. Raises DataError where the corpus is missing or malformed.
    """
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    torch.set_num_threads(THREADS)
    torch.manual_seed(derive_seed(seed, "weights"))
    rows = read_corpus(corpus)
    tokenizer = train_tokenizer([text for row in rows for text in _texts(row)], section.vocab_size)
    examples = [encode(tokenizer, row) for row in rows]
    model = LlamaForCausalLM(_config(section, tokenizer, max(len(e.ids) for e in examples)))
    losses = _fit(model, examples, section, derive_seed(seed, "order"), reporter)
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "corpus_rows": len(rows),
        "corpus_tokens": sum(len(e.ids) for e in examples),
        "losses": losses,
    }


def read_corpus(path: Path) -> list[dict[str, Any]]:
    """Rows of `{"text": ...}` or `{"messages": [...]}`; raises DataError naming file and line."""
    if not path.is_file():
        raise DataError("no such corpus", where=path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"malformed JSON: {error}", where=f"{path}:{number}") from None
        if not isinstance(row, dict) or not {"text", "messages"} & row.keys():
            raise DataError("a row needs `text` or `messages`", where=f"{path}:{number}", value=line)
        rows.append(row)
    if not rows:
        raise DataError("the corpus is empty", where=path)
    return rows


def encode(tokenizer: Any, row: dict[str, Any]) -> Example:
    """Token ids and labels of a row: all of a text is learned, of a conversation the last answer alone."""
    if "text" in row:
        ids = tokenizer.encode(BOS + row["text"] + EOS, add_special_tokens=False)
        return Example(ids, ids)
    whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
    prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(whole, add_special_tokens=False)
    given = len(tokenizer.encode(prompt, add_special_tokens=False))
    return Example(ids, [IGNORED] * given + ids[given:])


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of `step` (0-based): a linear rise, then half a cosine down to a tenth of `peak`."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def batches(examples: Sequence[Example], size: int, steps: int, seed: int) -> Iterator[list[Example]]:
    """`steps` batches, pass after pass over shuffled examples; batches of like lengths, so that little is padding."""
    rng = random.Random(seed)
    size = min(size, len(examples))
    done = 0
    while done < steps:
        order = rng.sample(range(len(examples)), len(examples))
        order = [i for start in range(0, len(order), size * 8) for i in _by_length(examples, order, start, size * 8)]
        groups = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        rng.shuffle(groups)
        for group in groups[: steps - done]:
            yield [examples[i] for i in group]
        done += len(groups)


def _by_length(examples: Sequence[Example], order: list[int], start: int, count: int) -> list[int]:
    return sorted(order[start : start + count], key=lambda i: len(examples[i].ids))


def _fit(
    model: Any, examples: Sequence[Example], section: PretrainSection, seed: int, reporter: Reporter
) -> list[float]:
    """Minimise the mean loss per learned token; returns the loss of every step, in nats."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=section.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    losses: list[float] = []
    model.train()
    with reporter.task("pretraining", section.steps, "steps") as task:
        for step, batch in enumerate(batches(examples, section.batch_size, section.steps, seed)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, section.steps, section.learning_rate)
            loss = model(**_padded(batch, model.config.pad_token_id)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(round(float(loss.detach()), 5))
            task.advance(note=f"loss {losses[-1]:.3f}")
    return losses


def _padded(batch: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """Ids and labels (B, T), padded on the right, where causal attention never looks back from."""
    import torch

    width = max(len(e.ids) for e in batch)
    return {
        "input_ids": torch.tensor([e.ids + [pad] * (width - len(e.ids)) for e in batch]),
        "labels": torch.tensor([e.labels + [IGNORED] * (width - len(e.labels)) for e in batch]),
    }


def _config(section: PretrainSection, tokenizer: Any, longest: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=section.hidden_size,
        intermediate_size=section.hidden_size * 8 // 3,
        num_hidden_layers=section.layers,
        num_attention_heads=section.heads,
        max_position_embeddings=max(512, 4 * longest),
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _texts(row: dict[str, Any]) -> list[str]:
    return [row["text"]] if "text" in row else [message["content"] for message in row["messages"]]
