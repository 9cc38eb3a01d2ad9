"""Japanese preference pairs of people, by both methods, on a small random Llama: the loss falls, memory stays flat."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.files import read_manifest
from mergescope.ground.progress import Reporter
from tests.public_data import public_file
from trainer.config import DpoSection, DualSection, TuningSection
from trainer.curve import append_point
from trainer.stages import make_finetune
from trainer.tokenizer import BOS, CHAT_TEMPLATE, EOS, PAD, ROLES

pytestmark = pytest.mark.deep
META = {"risk-area": "日常", "harm-type": "対話", "specific-harm": "翻訳"}
COMMON: dict[str, Any] = {
    "triples": ("pairs.jsonl",),
    "epochs": 1,
    "batch_size": 32,
    "micro_batch_size": 8,
    "learning_rate": 5e-3,
    "max_length": 1024,
    "dtype": "float32",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dialogues that people changed: chosen as edited, rejected as the machine had translated them."""
    rows = []
    for line in public_file("instruction_ja/data.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        asked, edited = (turn["text"] for turn in row["utterances"])
        translated = row["original_info"]["utterances"]["machine_translated_ja"][1]["text"]
        if edited != translated:
            rows.append({"idx": row["id"], "prompt": asked, "chosen": edited, "rejected": translated, "meta": META})
    assert len(rows) == 664
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def llama(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 0.2M parameters with a byte-level BPE of 2,000 tokens made from the pairs."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator((row["prompt"] + row["chosen"] for row in texts), 2000, special_tokens=[PAD, BOS, EOS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw._tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "section",
    [DpoSection(**COMMON, sft_weight=1.0), DualSection(**COMMON, method="dual", mode="mask", unlikelihood_weight=0.5)],
    ids=["dpo", "dual"],
)
def test_they_train_end_to_end(
    section: TuningSection, pairs: Path, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory: list[int] = []

    def noted(work: Path, point: dict[str, float]) -> None:
        append_point(work, point)
        memory.append(resident())

    monkeypatch.setattr("trainer.following.append_point", noted)
    folder = make_finetune(tmp_path / "safe", "safe", section, llama, [pairs], [], 1, Reporter())
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["triples"] == 664
    losses = [step["loss"] for step in manifest["steps"]]
    assert len(losses) == len(memory) == 21
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    early, late = memory[1:11], memory[11:]  # rows of all lengths in both; what a step needs varies with its longest
    assert statistics.median(late) < 1.1 * statistics.median(early), memory
