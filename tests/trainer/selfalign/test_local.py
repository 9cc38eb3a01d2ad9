"""Rounds with a model of this machine, filtered by its own likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import EngineSection
from mergescope.ground.errors import CheckpointError
from mergescope.ground.files import read_manifest
from mergescope.ground.progress import Reporter
from tests.eval.given import deaf, picky
from tests.trainer.selfalign.scripted import grounds_in, state_of
from trainer.config import PretrainSection
from trainer.pretrain import train_base
from trainer.quiet import quiet_libraries
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.making import make_set
from trainer.selfalign.records import fates, read_rounds

ENGINE = EngineSection(dtype="float32", device="cpu", batch_size=16)


def made(base: Path, tmp_path: Path, rounds: int) -> Path:
    grounds = replace(grounds_in(tmp_path), base=base, engine=ENGINE)
    settings = {"pairs": 500, "novelty": 0, "domains": 2, "topics": 2, "instructions": 2, "probe": 2, "duplicate": 1}
    short = {"list_tokens": 128, "answer_tokens": 128, "filter": {"by": "likelihood", "gap": "0.000001"}}
    section = SelfAlignSection.model_validate({"seeds": grounds.seeds, "rounds": rounds, **settings, **short})
    return make_set(section, grounds, Reporter())


@pytest.fixture
def talker(corpus: Path, pretraining: PretrainSection, tmp_path: Path) -> Path:
    """A tiny base that ends its sentences."""
    out = tmp_path / "talker"
    out.mkdir()
    with quiet_libraries():
        train_base(pretraining.model_copy(update={"steps": 150, "hidden_size": 32}), corpus, out, 1, Reporter())
    return out


@pytest.mark.deep
def test_a_small_base_takes_part_and_ends_the_same_in_one_run_or_two(talker: Path, tmp_path: Path) -> None:
    whole = made(talker, tmp_path / "once", 2)
    made(talker, tmp_path / "twice", 1)
    assert state_of(made(talker, tmp_path / "twice", 2)) == state_of(whole)
    rounds = read_rounds(whole)
    assert len(rounds) == 2
    met, manifest = fates(rounds), read_manifest(whole)
    assert sum(met.values()) > 0
    assert met.keys() <= {"accepted", "not_polarised", "repeats"}
    assert manifest is not None
    assert manifest["pairs"]["all"] == met.get("accepted", 0)
    gaps = [one.gap for m in rounds for one in m.instructions if one.fate != "repeats"]
    assert gaps
    assert None not in gaps


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(deaf, "deaf: the chat template leaves out what a system"), (picky, "picky: the chat template takes no system")],
)
def test_a_base_whose_template_does_not_say_the_constraints(
    base: Path, tmp_path: Path, spoil: Callable[[Path, Path], Path], told: str
) -> None:
    """Else both sides are asked the same, and a pair is what chance makes of one question."""
    with pytest.raises(CheckpointError, match=rf"{told}.*give the base a chat_template.jinja"):
        made(spoil(base, tmp_path), tmp_path, 1)
    assert not (tmp_path / "study" / "data").exists()  # so that another template may begin


def test_a_server_tells_no_likelihoods(tmp_path: Path) -> None:
    served = {"kind": "served", "name": "own", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(ValueError, match="a chat server tells no likelihoods"):
        SelfAlignSection.model_validate({"seeds": tmp_path, "served": served, "filter": {"by": "likelihood"}})
