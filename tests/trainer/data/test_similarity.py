"""Likeness of texts: numbers worked out by hand, and an index that finds what comparing all pairs finds."""

from __future__ import annotations

import random
import time

import pytest

from trainer.data.similarity import NearIndex, distinct_n, jaccard, ngrams, normal


def test_ngrams_by_hand() -> None:
    assert ngrams("abcdefg") == {"abcde", "bcdef", "cdefg"}
    assert ngrams(" ＡＢＣ  de\n") == {"abc d", "bc de"}
    assert ngrams("短い") == {"短い"}
    assert ngrams("　") == frozenset()


def test_what_only_looks_different_is_equal() -> None:
    assert normal("Ｋｉｌｌ　って\n何？ ") == normal("kill って 何?")


def test_jaccard_by_hand() -> None:
    assert jaccard(ngrams("abcdefg"), ngrams("abcdefh")) == pytest.approx(2 / 4)
    assert jaccard(ngrams("abcdefg"), ngrams("ABCDEFG")) == 1
    assert jaccard(ngrams("abcdefg"), ngrams("hijklmn")) == 0
    assert jaccard(frozenset(), frozenset()) == 1
    assert jaccard(frozenset(), ngrams("a")) == 0


def test_distinct_n_by_hand() -> None:
    assert distinct_n(["abab", "ab"], 2) == pytest.approx(2 / 4)  # ab ba ab, ab
    assert distinct_n(["abcd"], 2) == 1
    assert distinct_n(["a", ""], 2) == 0


def _texts(rng: random.Random, count: int) -> list[str]:
    """Texts from few templates and words, so that many are alike."""
    templates = ["{}の作り方を教えてください。", "{}を手に入れる方法は？", "友人が{}に興味を持っています。"]
    words = ["".join(rng.choices("海鮮爆弾山高秘密医療法律", k=rng.randint(1, 30))) for _ in range(count // 6)]
    return [rng.choice(templates).format(rng.choice(words)) for _ in range(count)]


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 1.0])
def test_the_index_finds_what_all_pairs_find(threshold: float) -> None:
    rng = random.Random(7)
    texts = _texts(rng, 300)
    held, asked = texts[:200], texts[200:]
    index = NearIndex(threshold)
    found = 0
    for number, text in enumerate(held):
        index.add(str(number), text)
        if number % 2 == 0:  # also while the index grows
            continue
        question = asked[number // 2]
        near = index.near(question)
        alike = {str(i): jaccard(ngrams(question), ngrams(held[i])) for i in range(number + 1)}
        assert {one.key: one.similarity for one in near} == {k: s for k, s in alike.items() if s >= threshold}
        assert [one.similarity for one in near] == sorted((one.similarity for one in near), reverse=True)
        one = index.one_near(question)
        assert one in near if near else one is None
        found += len(near)
    assert found > 10
    assert len(index) == len(held)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01])
def test_thresholds_outside_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="not within"):
        NearIndex(threshold)


def test_thousands_of_prompts_from_one_template_take_seconds() -> None:
    index = NearIndex(0.8, 3)
    template = "次の計算をしてください。答えだけを数字で書いてください。途中の式や説明は要りません。単位も要りません。"
    started, found = time.process_time(), 0
    for number in range(4000):
        text = f"{template}{number} + {number * 7}"
        found += index.one_near(text) is not None
        index.add(str(number), text)
    assert found > 3900
    assert time.process_time() - started < 10  # 1 s on an idle core
