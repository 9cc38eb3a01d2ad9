"""Pairs made of answers go into a set of the study, and into no other folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from tests.trainer.pairs.made import META
from trainer.pairs.from_answers import pair_of_answers
from trainer.pairs.pair import Pair
from trainer.pairs.pair_set import LONGEST_NAME, pair_sets

BAD = ["", " ", ".", "..", "../other", "a/b", "a\\b", "/etc", ".hidden", "a\n", "a\0b", "a\x1b[2J", " a", "half \ud83d"]


def made(study: Path, name: str) -> Pair:
    return pair_of_answers(
        study, name, kind="harmful", prompt="質問", chosen="お断りします。", rejected="x", meta=META, made_by="r 0.50"
    )


@pytest.mark.parametrize("name", [*BAD, "長" * LONGEST_NAME])
def test_a_name_that_is_no_folder_of_the_data_is_one_line_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    study = tmp_path / "tiny"
    with pytest.raises(DataError, match="no name of a set of pairs") as caught:
        made(study, name)
    assert caught.value.line().isprintable()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["from-answers", "回答から", "v1.2 b"])
def test_other_names_make_sets(tmp_path: Path, name: str) -> None:
    pair = made(tmp_path / "tiny", name)
    (pairs,) = pair_sets(tmp_path / "tiny")
    assert (pairs.name, pairs.pairs()) == (name, [pair])
