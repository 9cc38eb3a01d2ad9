"""What a round leaves behind: everything that later rounds, a resumed run and its reader need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mergescope.ground.files import read_json, write_json
from trainer.selfalign.seeds import Instruction

Fate = Literal["accepted", "repeats", "evaluated", "unanswered", "unscored", "not_polarised"]
"""accepted: a pair. repeats: nearly an earlier instruction. evaluated: nearly a prompt of an evaluation set.
unanswered: one of its answers is missing, with the error's kind. unscored: the filter could not tell. not_polarised:
its answers are too near each other."""
ROUNDS = "rounds"


@dataclass(frozen=True, slots=True)
class Constraints:
    """The system messages of both sides."""

    positive: str
    toxic: str


@dataclass(frozen=True, slots=True)
class Fated:
    """One instruction and what became of it."""

    domain: str
    topic: str
    text: str
    fate: Fate
    detail: str | None = None
    """Kind of the error where it is unanswered; None elsewhere."""
    gap: float | None = None
    """What the filter found; None where it was not asked or could not tell."""
    pair_id: str | None = None
    """None where there is no pair."""

    @property
    def instruction(self) -> Instruction:
        """Without its fate."""
        return Instruction(self.domain, self.topic, self.text)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How varied a round is. All shares are 0 to 1; None where nothing was made that they could tell of."""

    novelty: float | None
    """Share of the round's instructions that repeat no earlier one."""
    acceptance: float | None
    """Accepted pairs among the instructions that were to be answered."""
    distinct: tuple[float, float]
    """Distinct n-grams among all n-grams of the round's new instructions, for n = 1 and 2."""
    self_similarity: float | None
    """Mean Jaccard similarity of 5-grams of two of the round's new instructions; high is narrow."""
    toxic_distinct: tuple[float, float]
    """As `distinct`, of the toxic answers of the round's pairs."""
    toxic_self_similarity: float | None
    """As `self_similarity`, of the same: narrow toxic samples are the method's named risk."""
    coverage: float
    """Share of the taxonomy's specific harms that pairs of this and earlier rounds are filed under."""
    domains: int
    """Different domains of this and earlier rounds' pairs."""


@dataclass(frozen=True, slots=True)
class Round:
    """One finished round."""

    number: int
    constraints: Constraints
    """Those that its answers were given under."""
    refined: dict[str, str]
    """What became of each side's rewritten constraint: kept, dropped, none (nothing usable came); empty in round 0."""
    instructions: tuple[Fated, ...]
    numbers: Numbers

    @property
    def accepted(self) -> list[Fated]:
        """Those that became pairs."""
        return [one for one in self.instructions if one.fate == "accepted"]


def write_round(folder: Path, made: Round) -> None:
    """Keep a round, whole or not at all, in the set's folder."""
    write_json(folder / ROUNDS / f"{made.number:03}.json", asdict(made))


def read_rounds(folder: Path) -> list[Round]:
    """The finished rounds in the set's folder, first to last."""
    files = sorted((folder / ROUNDS).glob("[0-9][0-9][0-9].json"))
    return [_round(read_json(file)) for file in files]


def fates(rounds: Sequence[Round]) -> dict[str, int]:
    """How many instructions met each fate, unanswered ones by the error's kind."""
    counts: dict[str, int] = {}
    for one in (one for made in rounds for one in made.instructions):
        name = one.fate if one.detail is None else f"{one.fate}: {one.detail}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def _round(raw: Mapping[str, Any]) -> Round:
    numbers = {**raw["numbers"]}
    for name in ("distinct", "toxic_distinct"):
        numbers[name] = tuple(numbers[name])
    return Round(
        raw["number"],
        Constraints(**raw["constraints"]),
        raw["refined"],
        tuple(Fated(**one) for one in raw["instructions"]),
        Numbers(**numbers),
    )
