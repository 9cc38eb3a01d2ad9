import numpy as np

from dashboard.failures.slicing import LEAST, slices_of
from tests.dashboard.failures.invented import make_prompts


def named(texts: list[str], categories: list[tuple[str, ...]] | None = None) -> dict[str, list[int]]:
    asked = make_prompts(texts, categories)
    found = slices_of(asked, np.ones(len(texts), dtype=np.bool_))
    return {one.address: np.flatnonzero(one.mask).tolist() for one in found}


def test_categories_of_all_levels_are_slices_and_the_same_prompts_are_one() -> None:
    """Level b of a holds the very prompts of a: the wider one stays; c and its two halves are three slices."""
    categories = [("a", "b", "x")] * 6 + [("c", "d")] * 6 + [("c", "e")] * 6
    found = {name for name in named(["p"] * 18, categories) if name.startswith("category")}
    assert found == {"category:a", "category:c", "category:c/d", "category:c/e"}


def test_words_in_the_same_prompts_are_one_slice() -> None:
    texts = ["爆弾と花火の話"] * 6 + ["包丁の手入れ"] * 7
    found = named(texts)
    assert found["word:爆弾/花火"] == list(range(6))
    assert found["word:包丁/手入"] == list(range(6, 13))


def test_lengths_are_quarters() -> None:
    found = named(["あ" * (place + 1) for place in range(40)])
    lengths = {name: rows for name, rows in found.items() if name.startswith("length")}
    assert [len(rows) for rows in lengths.values()] == [10, 10, 10, 10]
    assert next(iter(lengths)) == "length:1/10"
    assert sorted(place for rows in lengths.values() for place in rows) == list(range(40))


def test_small_slices_and_prompts_that_cannot_fail_are_left_out() -> None:
    asked = make_prompts(["爆弾の話"] * 4 + ["花火の話"] * 10 + ["鍵の話"] * 10)
    found = slices_of(asked, np.arange(24) < 20)
    assert not any("爆弾" in one.names for one in found)  # four prompts
    assert {int(one.mask.sum()) for one in found} == {10}
    assert all(one.mask.sum() >= LEAST and not one.mask[20:].any() for one in found)
