"""What people decide about made pairs: small files, each whole, each written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from mergescope.ground.errors import DataError
from mergescope.ground.files import read_json, write_json
from mergescope.ground.ids import content_id
from trainer.pairs.pair import Pair

Action = Literal["approve", "edit", "drop"]
Status = Literal["pending", "approved", "dropped"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Review:
    """One decision of one person."""

    pair_id: str
    action: Action
    who: str
    """Who decided, as they call themselves."""
    at: str
    """When, as ISO 8601 in UTC with microseconds, so that texts sort as times do."""
    seen: str
    """Version of the texts that were before the person."""
    prompt: str | None = None
    """The prompt from now on; None: as it was."""
    chosen: str | None = None
    """The answer to learn from now on; None: as it was."""
    facts_verified: bool = False
    """Whether the person vouches for the facts of the answer."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A pair as people left it."""

    pair: Pair
    status: Status
    """pending: nobody has approved or dropped these very texts."""
    prompt: str
    """As edited last."""
    chosen: str
    """As edited last."""
    facts_verified: bool = False
    """Whether who approved it vouched for the facts."""
    who: str | None = None
    """Who decided last; None where nobody has."""
    at: str | None = None
    """When, as of `Review`; None where nobody has."""

    @property
    def version(self) -> str:
        """Of the texts: a decision counts for the texts that were seen."""
        return version_of(self.prompt, self.chosen)


def version_of(prompt: str, chosen: str) -> str:
    """Of a prompt and its answer."""
    return content_id("rv1", [prompt, chosen])


def fold(pair: Pair, reviews: Iterable[Review]) -> Reviewed:
    """The pair after its reviews in the order of their time.

    An edit or an approval of texts that somebody had changed meanwhile does not count: nobody approves what they have
    not seen. A drop always counts.
    """
    now = Reviewed(pair, "pending", pair.prompt, pair.chosen)
    for review in sorted(reviews, key=lambda one: (one.at, one.who, one.action)):
        if review.action != "drop" and review.seen != now.version:
            continue
        status: dict[Action, Status] = {"approve": "approved", "edit": "pending", "drop": "dropped"}
        now = Reviewed(
            pair,
            status[review.action],
            now.prompt if review.prompt is None else review.prompt,
            now.chosen if review.chosen is None else review.chosen,
            review.facts_verified and review.action == "approve",
            review.who,
            review.at,
        )
    return now


def counts_text(found: Iterable[Reviewed]) -> str:
    """How many pairs have which status, in words."""
    counts = Counter(one.status for one in found)
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES)


def require_sound(review: Review, before: Reviewed) -> None:
    """Raise DataError for a decision that cannot count, naming the pair and the cure."""
    where = f"pair {review.pair_id}"
    if review.action not in get_args(Action):
        raise DataError("no such action", where=where, value=review.action, cure=f"use {', '.join(get_args(Action))}")
    if not review.who.strip():
        raise DataError("nobody is named", where=where, cure="say who reviews")
    if any(text is not None and not text.strip() for text in (review.prompt, review.chosen)):
        raise DataError("an empty text", where=where, cure="write one, or drop the pair")
    if review.action != "drop" and review.seen != before.version:
        what = f"{before.who or 'somebody'} has changed this pair meanwhile"
        raise DataError(what, where=where, cure="look at it again")
    if review.action == "approve" and before.pair.informs and not review.facts_verified:
        cure = "verify them and say so, or drop the pair"
        raise DataError("its answer informs, and nobody vouches for the facts", where=where, cure=cure)


def stamp(at: datetime) -> str:
    """A time as reviews keep it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def write_review(folder: Path, review: Review) -> Path:
    """Put the decision into the folder of reviews, whole, under a name of its own."""
    value = {name: entry for name, entry in asdict(review).items() if entry is not None}
    path = folder / f"{content_id('r1', value)}.json"
    write_json(path, value)
    return path


def read_review(path: Path) -> Review:
    """Raises DataError where the file is no review."""
    raw: Mapping[str, Any] = read_json(path)
    needed = {"pair_id", "action", "who", "at", "seen"}
    sound = isinstance(raw, dict) and needed <= raw.keys() <= set(Review.__slots__)
    if not sound or raw["action"] not in get_args(Action) or not all(isinstance(raw[key], str) for key in needed):
        raise DataError("no review", where=path, cure="remove the file")
    return Review(**raw)
