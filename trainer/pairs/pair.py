"""A made pair: a triple whose rejected side lies in the quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mergescope.ground.errors import DataError
from trainer.quarantine import ToxicRef
from trainer.triples import META

Kind = Literal["harmful", "borderline", "benign"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Pair:
    """One made pair, as its models left it."""

    pair_id: str
    """Its name, unique in its set."""
    kind: Kind
    """What a good answer does: harmful prompts are refused or answered safely, the others answered."""
    prompt: str
    """What the user asks."""
    chosen: str
    """The answer to learn."""
    rejected: ToxicRef
    """The answer to move away from."""
    meta: Mapping[str, str]
    """`risk-area`, `harm-type` and `specific-harm` of the taxonomy; empty where unknown."""
    source: str | None
    """Where the question comes from; None where nobody says."""
    licence: str | None
    """SPDX name where there is one; None where nobody says."""
    made_by: str | None
    """Persons, models or templates that wrote it; None where nobody says."""
    informs: bool
    """Whether the chosen answer gives facts: a person must have verified them before it is approved."""
    toxic_constraint: str | None
    """System message under which the rejected side was made; None where there was none."""
    made: Mapping[str, Any]
    """How it was made, as JSON: models, seed, round, danger score. Never toxic text."""


def pair_row(pair: Pair) -> dict[str, Any]:
    """A pair as the JSON object of its line."""
    return {**asdict(pair), "meta": dict(pair.meta), "made": dict(pair.made)}


def pair_of(row: Mapping[str, Any], where: str) -> Pair:
    """The pair of a line's object; raises DataError naming line and field where it is not one."""
    texts = ("pair_id", "kind", "prompt", "chosen")
    wrong = next((name for name in texts if not isinstance(row.get(name), str) or not row[name]), None)
    if wrong is None and row["kind"] not in KINDS:
        wrong = "kind"
    rejected, meta = row.get("rejected"), row.get("meta")
    if wrong is None and not (isinstance(meta, Mapping) and all(isinstance(meta.get(name), str) for name in META)):
        wrong = "meta"
    if wrong is None and not (isinstance(rejected, Mapping) and rejected.keys() == set(ToxicRef.__slots__)):
        wrong = "rejected"
    if wrong is None and row.keys() != set(Pair.__slots__):
        wrong = min(row.keys() ^ set(Pair.__slots__))
    if wrong is not None:
        raise DataError("no made pair", where=f"{where}: {wrong}", cure="restore the line, or remove it")
    return Pair(**{**row, "rejected": ToxicRef(**row["rejected"])})
