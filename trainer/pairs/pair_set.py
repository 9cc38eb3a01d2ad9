"""A folder of made pairs: `<study>/data/<set>`, with `pairs.jsonl` and one file a decision in `reviews/`."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import datetime
from pathlib import Path

from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals
from mergescope.ground.ids import full_hash
from mergescope.ground.json_objects import each_once
from trainer.pairs.pair import Pair, pair_of, pair_row
from trainer.pairs.review import Action, Review, Reviewed, fold, read_review, require_sound, stamp, write_review
from trainer.quarantine import Quarantine, ToxicRef
from trainer.triples import Triple

PAIRS = "pairs.jsonl"
REVIEWS = "reviews"
LONGEST_NAME = 128
"""Bytes of UTF-8 of a set's name; file systems take 255."""
_DECODER = json.JSONDecoder(object_pairs_hook=each_once)


class PairSet:
    """The pairs of one set and what people decided about them. Several processes may add and review at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """`<study>/data/<set>`; made with the first pair."""
        self._file = folder / PAIRS
        self._pairs: dict[str, Pair] = {}
        self._read_to = 0
        """Bytes of the file that are read."""
        self._reviews: dict[str, Review] = {}
        """By name of their files, which never change."""

    @property
    def name(self) -> str:
        """Of the set."""
        return self.folder.name

    @property
    def exists(self) -> bool:
        """Whether any pair was ever added."""
        return self._file.is_file()

    def add(self, pair: Pair) -> None:
        """Append the pair, flushed to disk; one with its name that is there already stays as it is.

        A last line that a kill cut off is removed. Raises MergescopeError where the disk is full or read-only.
        """
        line = json.dumps(pair_row(pair), ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
        with disk_refusals(self._file):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("a+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                self._read()
                if pair.pair_id in self._pairs:
                    return
                if stream.seek(0, os.SEEK_END) > self._read_to:
                    stream.truncate(self._read_to)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())

    def pairs(self) -> list[Pair]:
        """All pairs as they were made; raises DataError naming the line that is none."""
        self._read()
        return list(self._pairs.values())

    def review(
        self,
        pair_id: str,
        action: Action,
        who: str,
        at: datetime,
        prompt: str | None = None,
        chosen: str | None = None,
        facts_verified: bool = False,
        seen: str | None = None,
    ) -> None:
        """Keep a decision. An edit changes texts and leaves the pair pending; an approval may change them as well.

        prompt, chosen: the texts from now on; None: as they are. facts_verified: who vouches for the facts of the
        answer; needed to approve a pair that informs. seen: `Reviewed.version` of what was before the person; None:
        as it is now. Raises DataError for a pair that is not there, an empty text, and an edit or approval of texts
        that somebody has changed meanwhile.
        """
        self._read()
        if pair_id not in self._pairs:
            raise DataError("no such pair", where=self._file, value=pair_id, cure="choose one of the set")
        before = self._fold(pair_id)
        review = Review(
            pair_id,
            action,
            who,
            stamp(at),
            seen or before.version,
            None if prompt == before.prompt else prompt,
            None if chosen == before.chosen else chosen,
            facts_verified,
        )
        require_sound(review, before)
        write_review(self.folder / REVIEWS, review)

    def reviewed(self) -> list[Reviewed]:
        """Every pair as people left it, in the order in which they were made."""
        self._read()
        self._read_reviews()
        told: dict[str, list[Review]] = {}
        for review in self._reviews.values():
            told.setdefault(review.pair_id, []).append(review)
        return [fold(pair, told.get(pair_id, [])) for pair_id, pair in self._pairs.items()]

    def taken(self, *, unreviewed: bool = False) -> list[Reviewed]:
        """The pairs to train on: the approved ones. unreviewed: pending ones as well, but never a dropped one."""
        wanted = ("approved", "pending") if unreviewed else ("approved",)
        return [one for one in self.reviewed() if one.status in wanted]

    def triples(self, quarantine: Quarantine, unreviewed: bool = False) -> list[Triple]:
        """The pairs to train on, rejected sides included: they must not be written anywhere.

        Raises PurgedError where a rejected side was deleted, and DataError where there is no pair to train on.
        """
        return [_triple(one, quarantine.get(one.pair.rejected.sha256)) for one in self._some(unreviewed)]

    def prompts(self, unreviewed: bool = False) -> list[Triple]:
        """The same without their rejected sides, which are empty: for what only looks at prompts and chosen answers.

        Needs nothing of the quarantine.
        """
        return [_triple(one, "") for one in self._some(unreviewed)]

    def content_hash(self, unreviewed: bool = False) -> str:
        """sha256 over all that is trained on; rejected sides count by their hashes, deleted or not."""
        return full_hash(
            [
                [one.pair.pair_id, one.prompt, one.chosen, one.pair.rejected.sha256, one.pair.toxic_constraint]
                for one in self._some(unreviewed)
            ]
        )

    def refs(self) -> list[ToxicRef]:
        """Of all rejected sides, whatever people decided."""
        return [pair.rejected for pair in self.pairs()]

    def _some(self, unreviewed: bool) -> list[Reviewed]:
        if not (found := self.taken(unreviewed=unreviewed)):
            cure = "review them with `mergescope data review STUDY`, or set `train.unreviewed: true`"
            raise DataError("no pair of this set is approved", where=self.folder, cure=cure)
        return found

    def _fold(self, pair_id: str) -> Reviewed:
        self._read_reviews()
        return fold(self._pairs[pair_id], (one for one in self._reviews.values() if one.pair_id == pair_id))

    def _read(self) -> None:
        """Take in the lines that came since the last look; a last one without its end is not there yet."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._read_to)
                raw = stream.read()
        except FileNotFoundError:
            return
        for line in raw.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            pair = self._parsed(line)
            self._pairs.setdefault(pair.pair_id, pair)
            self._read_to += len(line)

    def _parsed(self, line: bytes) -> Pair:
        where = f"{self._file}:{len(self._pairs) + 1}"
        try:
            row = _DECODER.decode(line.decode("utf-8"))
        except ValueError:
            raise DataError("malformed JSON", where=where, cure="restore the line, or remove it") from None
        return pair_of(row if isinstance(row, dict) else {}, where)

    def _read_reviews(self) -> None:
        folder = self.folder / REVIEWS
        if not folder.is_dir():
            return
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".json") and entry.name[0] != "."]
        for name in names:
            if name not in self._reviews:
                self._reviews[name] = read_review(folder / name)


def set_folder(study_folder: Path, name: str) -> Path:
    """Where a study keeps the set of a name; raises DataError for a name that is none of a folder within its data."""
    sound = name.isprintable() and name.strip() == name and not name.startswith(".") and not set(name) & set("/\\")
    if not name or not sound or len(name.encode()) > LONGEST_NAME:
        cure = "use a short word without slashes or control characters, which starts with no dot"
        raise DataError("no name of a set of pairs", value=name, cure=cure)
    return study_folder / "data" / name


def pair_sets(study_folder: Path) -> list[PairSet]:
    """Every set of made pairs of a study, by name."""
    return [PairSet(path.parent) for path in sorted(study_folder.glob(f"data/*/{PAIRS}"))]


def _triple(one: Reviewed, rejected: str) -> Triple:
    pair = one.pair
    return Triple(
        pair.pair_id,
        one.prompt,
        one.chosen,
        rejected,
        dict(pair.meta),
        pair.source,
        pair.licence,
        pair.made_by,
        pair.toxic_constraint,
    )
