"""The taxonomy holds what the two published ones hold, and is found by either language's names."""

from __future__ import annotations

import pytest

from mergescope.ground.errors import DataError
from tests.public_data import public_file
from trainer.taxonomy.categories import LEVELS, Level, Origin, categories, category, known, misplaced


@pytest.mark.parametrize(("origin", "counts"), [("ac", (5, 12, 55)), ("dna", (5, 12, 61))])
def test_as_many_as_published(origin: Origin, counts: tuple[int, int, int]) -> None:
    own = [one for one in categories() if origin in one.origins]
    assert tuple(sum(one.level == level for one in own) for level in LEVELS) == counts


def test_names_tell_categories_of_a_level_apart() -> None:
    for level in LEVELS:
        names = [name.casefold() for one in categories() if one.level == level for name in {one.ja, one.en}]
        assert len(names) == len(set(names))


def test_every_category_is_found_by_both_names() -> None:
    for one in categories():
        assert known(one.level, one.ja) == one
        assert known(one.level, f" {one.en.upper()} ") == one
        assert (one.parent is None) == (one.level == "risk-area")


def test_the_published_names_lie_where_they_were_published() -> None:
    import json

    raw = json.loads(public_file("taxonomy/ac_dna_taxonomy.json").read_text(encoding="utf-8"))
    for key in ("answercarefully_v2_ja", "do_not_answer_en_with_counts"):
        for area, types in raw[key].items():
            for kind, harms in types.items():
                for harm in harms:
                    found = category("specific-harm", harm)
                    assert found.parent == category("harm-type", kind)
                    assert found.parent.parent == category("risk-area", area)


@pytest.mark.parametrize(
    ("level", "name", "cure"),
    [
        ("specific-harm", "テロリスム", "did you mean テロリズム"),
        ("risk-area", "Malicious Use", "did you mean Malicious Uses"),
        ("specific-harm", "zzz", "known: AIへの感情的依存"),
        ("risk-area", "テロリズム", "known: AIとの対話によるリスク"),
    ],
)
def test_unknown_categories_are_named_with_a_cure(level: Level, name: str, cure: str) -> None:
    with pytest.raises(DataError, match=f"no such {level} in the taxonomy") as caught:
        category(level, name)
    assert cure in caught.value.line()
    assert name in caught.value.line()


@pytest.mark.parametrize(
    ("area", "kind", "harm", "wrong"),
    [
        ("悪用", "違法行為への加担", "テロリズム", None),
        ("Malicious Uses", "違法行為への加担", "Terrorist Activities", None),
        ("誤情報", "違法行為への加担", "テロリズム", "harm-type"),
        ("悪用", "違法行為への加担", "Spam Content", "specific-harm"),
        ("日常", "料理", "カレー", None),
        ("誤情報", "料理", "テロリズム", None),
    ],
)
def test_levels_that_disagree_are_found(area: str, kind: str, harm: str, wrong: Level | None) -> None:
    assert misplaced({"risk-area": area, "harm-type": kind, "specific-harm": harm}) == wrong
