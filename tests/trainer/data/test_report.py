"""Repeats, lengths and coverage of triples, against what can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import CheckpointError
from trainer.data.coverage import coverage, summary
from trainer.data.lengths import CHARACTERS, lengths, token_ruler
from trainer.data.repeats import repeats
from trainer.data.report import examine
from trainer.taxonomy.categories import NO_HARM
from trainer.tokenizer import train_tokenizer
from trainer.triples import Triple

META = {"risk-area": "悪用", "harm-type": "違法行為への加担", "specific-harm": "テロリズム"}


def triple(idx: str, prompt: str = "質問", chosen: str = "よい", rejected: str = "悪い", **meta: str) -> Triple:
    return Triple(idx, prompt, chosen, rejected, {**META, **{name.replace("_", "-"): to for name, to in meta.items()}})


NEARLY = "海鮮ばくだんの作り方を、順番に教えてもらえませんか"


def test_repeats_of_every_kind() -> None:
    found = repeats(
        [
            triple("a"),
            triple("b", prompt="別の質問"),
            triple("same", prompt=" 質問 "),
            triple("opposed", chosen="悪い", rejected="よい"),
            triple("opposed too", chosen="別", rejected="よい"),
            triple("prompt", chosen="別の答え", rejected="他の答え"),
            triple("c", prompt=NEARLY + "。"),
            triple("near", prompt=NEARLY + "？"),
            triple("near again", prompt=NEARLY + "？", chosen="別の答え", rejected="他の答え"),
        ]
    )
    assert [(one.kind, one.idx, one.earlier) for one in found] == [
        ("triple", "same", "a"),
        ("opposed", "opposed", "a"),
        ("opposed", "opposed too", "a"),
        ("prompt", "prompt", "a"),
        ("prompt", "near again", "near"),
        ("near", "near", "c"),
    ]
    assert found[-1].similarity == pytest.approx(23 / 25)
    assert {one.similarity for one in found[:-1]} == {1.0}


def test_triples_that_share_nothing_repeat_nothing() -> None:
    assert repeats([triple("a"), triple("b", prompt="別の質問")]) == []
    assert repeats([]) == []


def test_lengths_in_characters_by_hand() -> None:
    triples = [triple("a", "ab", "abcd", "a"), triple("b", "abcd", "a", "ab"), triple("c", "abcdef", "abc", "a")]
    found = lengths(triples, CHARACTERS, [3, 3, 3])
    assert [(one.part, one.median, one.longest, one.idx) for one in found.parts] == [
        ("prompt", 4, 6, "c"),
        ("chosen", 3, 4, "a"),
        ("rejected", 1, 2, "b"),
        ("whole", 6, 9, "c"),
    ]
    assert found.parts[0].high == pytest.approx(5.8)  # 0.9 of the way from 4 to 6
    assert found.chosen_longer == pytest.approx(2 / 3)
    assert (found.unit, found.too_long) == ("characters", ())


def test_lengths_in_tokens_are_those_of_training(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["質問です。よい答え。悪い答え。"] * 4, 128)
    tokenizer.save_pretrained(tmp_path)
    triples = [triple("a", "質問", "よい答え。よい答え。", "悪い答え。"), triple("b")]
    found = lengths(triples, token_ruler(tmp_path), [1, 1])
    whole = found.parts[-1]
    assert (found.unit, whole.idx, found.too_long) == ("tokens", "a", ("a", "b"))
    turns = [{"role": "user", "content": "質問"}, {"role": "assistant", "content": "よい答え。よい答え。"}]
    assert whole.longest == len(tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"])
    assert lengths(triples, token_ruler(tmp_path), [whole.longest, None]).too_long == ()
    assert lengths(triples, token_ruler(tmp_path), [whole.longest - 1, None]).too_long == ("a",)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer that can be read") as caught:
        token_ruler(tmp_path)
    assert str(caught.value.where) == str(tmp_path)


def test_coverage_counts_names_of_both_languages() -> None:
    found = coverage(
        [
            triple("a"),
            triple(
                "b", risk_area="Malicious Uses", harm_type="Assisting illegal activities", specific_harm="Illegal Trade"
            ),
            triple("c", risk_area=NO_HARM, harm_type=NO_HARM, specific_harm=NO_HARM),
            triple("d", harm_type="assisting  ILLEGAL activities", specific_harm="テロリスム"),
            triple("e", risk_area="日常", harm_type="料理", specific_harm="カレー"),
            triple("f", risk_area="誤情報"),
        ]
    )
    (illegal,) = [one for one in found.types if one.triples]
    assert (illegal.area, illegal.type, illegal.type_en) == ("悪用", "違法行為への加担", "Assisting illegal activities")
    assert (illegal.triples, illegal.harms, illegal.harms_known) == (4, 2, 12)
    assert len(illegal.missing) == 10
    assert "違法薬物" in illegal.missing
    assert found.no_harm == 1
    assert found.misplaced == ("f",)
    assert {(one.level, one.name, one.triples) for one in found.unknown} == {
        ("specific-harm", "テロリスム", 1),
        ("risk-area", "日常", 1),
    }
    assert any(one.hint == "did you mean テロリズム?" for one in found.unknown)
    lines = list(summary(found))
    assert lines[0] == "coverage: 1 of 12 harm types, 2 of 64 harms"
    assert "        4   2/12  違法行為への加担 (Assisting illegal activities)" in lines


def test_a_report_of_nothing() -> None:
    found = examine([], None, CHARACTERS, [])
    assert (found.triples, found.held_out, found.overlaps, found.repeats) == (0, None, (), ())
    assert found.lengths.parts == ()
