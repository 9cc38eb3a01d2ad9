"""DPO through TRL on a tiny model: it learns, it repeats bit for bit, and it refuses to cut triples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash
from mergescope.ground.progress import Reporter
from trainer.config import DpoSection
from trainer.dpo import train_dpo
from trainer.quiet import quiet_libraries
from trainer.triples import load_triples


def tuned(section: DpoSection, base: Path, triples: Path, out: Path, seed: int = 1) -> dict[str, Any]:
    with quiet_libraries():
        return train_dpo(section, base, load_triples(triples), out, seed, Reporter())


@pytest.fixture(scope="module")
def run(tuning: DpoSection, base: Path, triples_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("tuned")
    return out, tuned(tuning, base, triples_file, out)


def test_loss_falls_and_the_chosen_side_wins(run: Any) -> None:
    _, content = run
    steps = content["steps"]
    assert len(steps) == 12
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"]
    assert steps[-1]["margin"] > 0
    assert content["triples"] == 8


def test_first_loss_is_log_two_without_the_likelihood_term(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    plain = tuning.model_copy(update={"sft_weight": 0.0, "steps": 1})
    content = tuned(plain, base, triples_file, tmp_path)
    assert content["steps"][0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


def test_same_seed_same_bits_other_seed_other_bits(
    run: Any, tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    out, content = run
    again = tuned(tuning, base, triples_file, tmp_path / "again")
    tuned(tuning, base, triples_file, tmp_path / "other", seed=2)
    name = "model.safetensors"
    assert file_hash(tmp_path / "again" / name) == file_hash(out / name)
    assert again == content
    assert file_hash(tmp_path / "other" / name) != file_hash(out / name)


def test_tuned_model_keeps_tokenizer_template_and_shapes(run: Any, base: Path) -> None:
    from safetensors import safe_open

    out, _ = run
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    with safe_open(out / "model.safetensors", "pt") as new, safe_open(base / "model.safetensors", "pt") as old:
        assert set(new.keys()) == set(old.keys())
        assert {new.get_tensor(k).dtype for k in new.keys()} == {old.get_tensor(k).dtype for k in old.keys()}  # noqa: SIM118


def test_triple_longer_than_the_limit_stops_the_run(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="triple 0 is too long"):
        tuned(tuning.model_copy(update={"max_length": 16}), base, triples_file, tmp_path)
