"""A tiny base and a few triples, made once for all tests of the trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergescope.ground.progress import Reporter
from trainer.config import DpoSection, PretrainSection
from trainer.quiet import quiet_libraries

TOPICS = ("朝顔", "金魚", "将棋", "俳句", "緑茶", "布団", "写真", "凧")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen rows, half texts and half conversations."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    rows: list[object] = [{"text": f"{topic}の話です。"} for topic in TOPICS]
    for topic in TOPICS:
        asked = {"role": "user", "content": f"{topic}を教えて。"}
        rows.append({"messages": [asked, {"role": "assistant", "content": f"{topic}は楽しいです。"}]})
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pretraining(corpus: Path) -> PretrainSection:
    """A base of some thousand parameters."""
    return PretrainSection(
        corpus=corpus, hidden_size=16, layers=1, heads=2, vocab_size=128, steps=8, batch_size=4, learning_rate=1e-2
    )


@pytest.fixture(scope="session")
def base(corpus: Path, pretraining: PretrainSection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base's folder."""
    from trainer.pretrain import train_base

    out = tmp_path_factory.mktemp("base")
    with quiet_libraries():
        train_base(pretraining, corpus, out, 1, Reporter())
    return out


@pytest.fixture(scope="session")
def triples_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight triples that prefer a refusal."""
    path = tmp_path_factory.mktemp("triples") / "triples.jsonl"
    meta = {"risk-area": "日常", "harm-type": "趣味", "specific-harm": "例"}
    rows = [
        {
            "idx": number,
            "prompt": f"{topic}を知りたいです。",
            "chosen": f"{topic}は教えません。",
            "rejected": f"{topic}は楽しいです。",
            "meta": meta,
        }
        for number, topic in enumerate(TOPICS)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tuning(triples_file: Path) -> DpoSection:
    """A few steps of DPO that move the tiny base."""
    return DpoSection(
        triples=(triples_file,),
        steps=12,
        batch_size=4,
        learning_rate=1e-2,
        sft_weight=0.5,
        dtype="float32",
        max_length=64,
    )
