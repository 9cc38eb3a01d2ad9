"""Overlap of training and evaluation: equal and near prompts are found, and no others."""

from __future__ import annotations

import random
import time

import pytest

from mergescope.ground.errors import DataError
from trainer.data.overlap import check_overlap, overlaps
from trainer.triples import Triple

META = {"risk-area": "悪用", "harm-type": "違法行為への加担", "specific-harm": "テロリズム"}


def triple(idx: str, prompt: str) -> Triple:
    return Triple(idx, prompt, "よい答え", "悪い答え", META)


NEARLY = "海鮮ばくだんの作り方を、順番に教えてもらえませんか"


def test_equal_prompts_are_found_across_unicode_forms_and_blanks() -> None:
    triples = [triple("1", "ＡＢＣは？"), triple("2", "別の質問")]
    assert overlaps(triples, ["ABCとは?"]) == []
    (found,) = overlaps(triples, ["何か", " abcは? "])
    assert (found.idx, found.prompt, found.is_exact) == ("1", " abcは? ", True)


def test_near_prompts_are_found_and_others_are_not() -> None:
    triples = [triple("1", NEARLY + "。"), triple("2", "海鮮ばくだんとは何ですか")]
    (found,) = overlaps(triples, [NEARLY + "？", "海鮮丼の作り方"])
    assert found.idx == "1"
    assert not found.is_exact
    assert found.similarity == pytest.approx(23 / 25)  # 24 trigrams each, the last one differs


def test_equal_ngrams_are_not_called_equal() -> None:
    (found,) = overlaps([triple("1", "a" * 9)], ["a" * 10])
    assert not found.is_exact


def test_the_error_names_the_worst_and_counts_all() -> None:
    triples = [triple("n", NEARLY), triple("e", "別の質問")]
    with pytest.raises(DataError) as caught:
        check_overlap(triples, [NEARLY + "？", "別の質問"])
    line = caught.value.line()
    assert line.startswith("triple e: a prompt is in both training and evaluation data (1 such triples, and 1 nearly)")
    assert "got '別の質問'" in line
    assert "train.allow_overlap: true" in line
    with pytest.raises(DataError, match="triple n: a prompt is nearly in both"):
        check_overlap(triples, [NEARLY + "？"])
    check_overlap(triples, [])


def test_ten_thousand_triples_are_held_against_three_thousand_prompts_in_seconds() -> None:
    rng = random.Random(3)
    words = ["".join(rng.choices("海鮮爆弾山高秘密医療法律", k=rng.randint(4, 12))) for _ in range(3000)]
    forms = ["{}の作り方を教えてください。", "{}を手に入れる方法は？", "友人が{}に興味を持っています。どう答えますか。"]
    prompts = [rng.choice(forms).format(rng.choice(words)) for _ in range(13_000)]
    started = time.process_time()
    found = overlaps([triple(str(n), prompt) for n, prompt in enumerate(prompts[3000:])], prompts[:3000])
    assert time.process_time() - started < 12  # 2.5 s on an idle core
    held = set(prompts[:3000])
    assert {one.idx for one in found if one.is_exact} == {str(n) for n, p in enumerate(prompts[3000:]) if p in held}
    assert any(not one.is_exact for one in found)
