"""What an adapter cannot be trained with is said before any work."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.progress import Reporter
from trainer.config import DpoSection, LoraSection
from trainer.lora import check_lora
from trainer.stages import make_finetune

FOUR_BITS = LoraSection(four_bit=True)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is here")
def test_four_bits_name_the_extra_that_is_missing(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    told = r'four_bit: bitsandbytes is not installed; install it: pip install "mergescope\[qlora\]"'
    with pytest.raises(MergescopeError, match=told):
        section = tuning.model_copy(update={"lora": FOUR_BITS})
        make_finetune(tmp_path / "safe", "safe", section, base, [triples_file], [], 1, Reporter())
    assert list(tmp_path.iterdir()) == []


def test_four_bits_want_a_gpu(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MergescopeError, match="there is no CUDA GPU here"):
        check_lora(FOUR_BITS, base)


def test_a_base_with_code_of_its_own_is_refused_before_it_is_trained(base: Path, tmp_path: Path) -> None:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    own = {**config, "auto_map": {"AutoModelForCausalLM": "x.X"}}
    (tmp_path / "config.json").write_text(json.dumps(own), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"run code of their own are not merged; leave train\.\*\.lora out"):
        check_lora(LoraSection(), tmp_path)
