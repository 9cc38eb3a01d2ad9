"""Failures as pairs for the next round: which answer to learn instead, and where the failed one goes.

The failed answers' texts are read in the run that exports them, kept in no cache and no state, and go to the
quarantine alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isnan
from pathlib import Path
from typing import get_args

from dashboard.store.answers import AnswerPlace
from dashboard.store.board import NOT_ANSWERED, VERDICTS, Board, ItemKey, Verdict
from dashboard.study.recipes import NAME
from eval.interchange.sharing import TOXIC
from eval.metrics import QUALITY
from mergescope.ground.errors import DataError
from mergescope.ground.ids import text_hash
from trainer.pairs.from_answers import SOURCE, pair_of_answers
from trainer.pairs.pair import Kind
from trainer.pairs.pair_set import PairSet
from trainer.selfalign.config import SELF_ALIGNED
from trainer.taxonomy.categories import LEVELS, NO_HARM

KINDS: Mapping[str, Kind] = {
    "harmful": "harmful",
    "jailbreak": "harmful",
    "borderline": "borderline",
    "benign": "benign",
}
"""What a good answer does, by kind of prompt; prompts of other kinds make no pairs."""
TAKEN = (*get_args(Kind), SELF_ALIGNED)
"""Sets that other commands make."""
SAFE_ABOVE = 3.0
"""Safety of an answer that may be learned: acceptable, as eval.metrics counts it."""
GOOD_FROM = 3.0
"""Quality and fluency of an answer that may be learned."""


@dataclass(frozen=True, slots=True)
class Given:
    """One answer of a checkpoint, without its text."""

    key: ItemKey
    checkpoint_id: str
    sample: int
    text_id: str
    kind: str
    verdict: Verdict
    cut: bool
    safety: float | None
    """1-5; None where it does not apply."""
    quality: float | None
    """Mean of the usefulness axes, 1-5; None where they do not apply."""
    fluency: float | None

    @property
    def good(self) -> bool:
        """Whether it may be learned: whole, safe on harmful prompts, a full and decent answer on the others."""
        if self.cut or (self.fluency is not None and self.fluency < GOOD_FROM):
            return False
        if self.kind in TOXIC:
            return self.safety is not None and self.safety > SAFE_ABOVE
        return self.verdict == "answered" and (self.quality is None or self.quality >= GOOD_FROM)

    @property
    def score(self) -> float | None:
        """What good answers are ordered by: safety on harmful prompts, quality on the others."""
        return self.safety if self.kind in TOXIC else self.quality


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed answer that the reader chose."""

    key: ItemKey
    checkpoint_id: str
    sample: int
    kind: str
    category: tuple[str, ...]
    prompt: str
    single: bool
    """Whether the prompt is one message of a user and nothing else."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What an export does with one failure."""

    failure: Failure
    failed_text_id: str | None
    chosen: Given | None
    skipped: str
    """Why it is left out, a key under `triples.skip`; empty where it is exported."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of an export."""

    new: int
    there: int
    """Pairs that the set had before: the same prompt and failed answer."""
    empty: int
    """Failed answers without anything to be seen in them."""


def given_answers(board: Board, places: Iterable[AnswerPlace]) -> dict[ItemKey, list[Given]]:
    """Those of some answers that have a text, as the board's judge scored them, by prompt."""
    found: dict[ItemKey, list[Given]] = {}
    for place in places:
        if place.text_id is not None and place.checkpoint_id in board.rows and place.key in board.places:
            at = board.rows[place.checkpoint_id], board.places[place.key], place.sample
            if place.sample < board.verdict.shape[2] and board.verdict[at] != NOT_ANSWERED:  # it may be a commit behind
                found.setdefault(place.key, []).append(_given(board, at, place, place.text_id))
    return found


def _given(board: Board, at: tuple[int, int, int], place: AnswerPlace, text_id: str) -> Given:
    safety, *usefulness = (_or_none(board.table.axes[axis][at]) for axis in ("safety", *QUALITY))
    known = [value for value in usefulness if value is not None]
    return Given(
        key=place.key,
        checkpoint_id=place.checkpoint_id,
        sample=place.sample,
        text_id=text_id,
        kind=place.shown[1],
        verdict=VERDICTS[board.verdict[at]],
        cut=bool(board.cut[at]),
        safety=safety,
        quality=sum(known) / len(known) if len(known) == len(QUALITY) else None,
        fluency=usefulness[0],
    )


def _or_none(value: float) -> float | None:
    return None if isnan(value) else float(value)


def plan(failures: Iterable[Failure], given: Mapping[ItemKey, Sequence[Given]], order: Sequence[str]) -> list[Planned]:
    """For each failure the best-scored good answer of another checkpoint; of equal ones the first in `order` (ids)."""
    place = {name: index for index, name in enumerate(order)}
    return [_planned(one, given.get(one.key, ()), place) for one in failures]


def _planned(failure: Failure, given: Sequence[Given], place: Mapping[str, int]) -> Planned:
    mine = [one for one in given if (one.checkpoint_id, one.sample) == (failure.checkpoint_id, failure.sample)]
    if failure.kind not in KINDS or not mine or not failure.single:
        why = "kind" if failure.kind not in KINDS else "conversation" if not failure.single else "text"
        return Planned(failure, None, None, why)
    failed = mine[0].text_id
    good = [
        one
        for one in given
        if one.good
        and one.checkpoint_id != failure.checkpoint_id
        and one.checkpoint_id in place
        and one.text_id != failed
    ]
    if not good:
        return Planned(failure, failed, None, "nobody")
    best = min(good, key=lambda one: (-(one.score or 0.0), place[one.checkpoint_id], one.sample))
    return Planned(failure, failed, best, "")


def checked_name(study_folder: Path, name: str) -> str:
    """The name of a set that exports may go to; raises DataError for others, with why."""
    if not NAME.fullmatch(name):
        raise DataError("no name of a set", value=name, cure="letters, digits, . _ - and at most 64 of them")
    pairs = PairSet(study_folder / "data" / name)
    foreign = pairs.exists and any(pair.source != SOURCE for pair in pairs.pairs())
    other = not pairs.exists and pairs.folder.is_dir() and any(pairs.folder.iterdir())
    if name in TAKEN or foreign or other or pairs.folder.is_symlink():
        raise DataError("this set is made by another command", value=name, cure="give another name")
    return name


def export(
    study_folder: Path,
    name: str,
    planned: Iterable[Planned],
    texts: Mapping[str, str],
    made_by: Callable[[Planned], str],
) -> Exported:
    """Add the planned pairs to the set, pending; what it has already stays as it is.

    texts: by text id, those of the failed answers too; they go to the quarantine. made_by: who gave both answers.
    Raises MergescopeError where the name cannot be used, or the disk is full or read-only.
    """
    pairs = PairSet(study_folder / "data" / checked_name(study_folder, name))
    held = {(pair.prompt, pair.rejected.sha256) for pair in pairs.pairs()} if pairs.exists else set()
    new = there = empty = 0
    for one in planned:
        if one.chosen is None or one.failed_text_id is None:
            continue
        chosen, rejected = texts[one.chosen.text_id], texts[one.failed_text_id]
        mark = (one.failure.prompt, text_hash(rejected))
        if not (rejected.strip() and chosen.strip()):
            empty += 1
        elif mark in held:
            there += 1
        else:
            _add(study_folder, name, one, (chosen, rejected), made_by(one))
            held.add(mark)
            new += 1
    return Exported(new, there, empty)


def _add(study_folder: Path, name: str, one: Planned, texts: tuple[str, str], made_by: str) -> None:
    category = dict(zip_longest(LEVELS, (one.failure.category or ())[: len(LEVELS)], fillvalue=NO_HARM))
    pair_of_answers(
        study_folder,
        name,
        kind=KINDS[one.failure.kind],
        prompt=one.failure.prompt,
        chosen=texts[0],
        rejected=texts[1],
        meta=category,
        made_by=made_by,
    )
