"""The made pairs that the Review page shows: found beside the recipes, since they come before any results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.study.recipes import recipes
from trainer.pairs.pair_set import PairSet, pair_sets
from trainer.pairs.review import Reviewed

SHOWN = 300
"""Rows of the list of pairs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pair as it stands, and the set that it is in."""

    pairs: PairSet
    reviewed: Reviewed

    @property
    def address(self) -> str:
        """Of the pair, in the page's address."""
        return f"{self.pairs.name}/{self.reviewed.pair.pair_id}"


def studies_with_pairs(store: Path) -> dict[str, Path]:
    """Folder of each study that has made pairs, by its name."""
    folders = {recipe.study: recipe.folder for recipe in reversed(recipes(store))}
    return {name: folder for name, folder in sorted(folders.items()) if pair_sets(folder)}


def rows_of(study_folder: Path) -> list[Row]:
    """All pairs of a study, set by set; what was read before is kept for this reader, without toxic text."""
    kept: dict[Path, PairSet] = st.session_state.setdefault("pair_sets", {})
    sets = [kept.setdefault(pairs.folder, pairs) for pairs in pair_sets(study_folder)]
    return [Row(pairs, one) for pairs in sets for one in pairs.reviewed()]


def around(found: Sequence[Row], selected: Row) -> Sequence[Row]:
    """At most SHOWN rows, the selected one among them."""
    start = max(0, min(found.index(selected) - SHOWN // 2, len(found) - SHOWN))
    return found[start : start + SHOWN]


def following(found: Sequence[Row], selected: Row) -> str:
    """Address of the pair to look at after the selected one; empty where there is no other."""
    place = found.index(selected)
    others = [*found[place + 1 :], *found[:place]]
    return others[0].address if others else ""
