"""Reviews made pairs in the terminal, key by key. The toxic side is shown alone, on demand, and cleared after it."""

from __future__ import annotations

import getpass
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mergescope.ground.errors import DataError, MergescopeError
from mergescope.retention import open_study
from mergescope.study import Study
from mergescope.terminal import Terminal, wrapped
from trainer.pairs.pair import KINDS
from trainer.pairs.pair_set import PairSet, pair_sets
from trainer.pairs.review import Action, Reviewed, counts_text
from trainer.quarantine import Quarantine
from trainer.quarantine_lock import in_use

KEYS = "a approve · e edit · d drop · f facts verified · t toxic side · s skip · b back · space more · q quit"
PROMPT, ANSWER = "=== prompt ===", "=== answer ==="
"""Lines between the texts in the editor."""


class Screen(Protocol):
    """What a review is shown on."""

    def show(self, lines: Sequence[str]) -> None:
        """Replace all that is shown."""

    def key(self) -> str:
        """The next key."""

    def edit(self, text: str) -> str | None:
        """The text as edited; None where that failed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A pair and the set that it is in."""

    pairs: PairSet
    pair_id: str


@dataclass(slots=True)
class Reviewing:
    """One person's walk through the pairs that nobody has decided about."""

    screen: Screen
    quarantine: Quarantine
    who: str
    places: Sequence[Place]
    at: int = 0
    """Index of the pair that is shown."""
    verified: bool = False
    """Whether the facts of the answer shown are ticked."""
    said: str = ""
    """The last line: what came of the last key."""
    scrolled: int = 0
    """Lines of the pair that are above the screen."""
    done: Counter[str] = field(default_factory=Counter)
    """Decisions by action."""

    def run(self) -> None:
        """Show pair after pair until all are passed or the person quits. Each decision is on disk at once."""
        while self.at < len(self.places):
            one = self._now()
            self.screen.show(self._lines(one))
            key = self.screen.key()
            self.said = ""
            if key == "q":
                return
            self._do(key, one)

    def _do(self, key: str, one: Reviewed) -> None:
        match key:
            case "a":
                self._decide("approve", one)
            case "d":
                self._decide("drop", one)
            case "e":
                self._edit(one)
            case "f":
                self.verified = not self.verified
            case "t":
                self._toxic(one)
            case "s":
                self._go(1)
            case "b":
                self._go(-1)
            case " ":
                self.scrolled += _room()

    def _now(self) -> Reviewed:
        place = self.places[self.at]
        return next(one for one in place.pairs.reviewed() if one.pair.pair_id == place.pair_id)

    def _go(self, steps: int) -> None:
        self.at = max(0, self.at + steps)
        self.verified, self.scrolled = False, 0

    def _decide(self, action: Action, one: Reviewed) -> None:
        if self._keep(action, one):
            self._go(1)

    def _keep(self, action: Action, one: Reviewed, prompt: str | None = None, chosen: str | None = None) -> bool:
        pairs = self.places[self.at].pairs
        verified = self.verified and action == "approve"
        now = datetime.now(UTC)
        try:
            pairs.review(one.pair.pair_id, action, self.who, now, prompt, chosen, verified, one.version)
        except DataError as error:
            self.said = f"{error.what}; {error.cure}"
            return False
        self.done[action] += 1
        return True

    def _edit(self, one: Reviewed) -> None:
        text = self.screen.edit(f"{PROMPT}\n{one.prompt}\n{ANSWER}\n{one.chosen}\n")
        edited = None if text is None else _texts(text)
        if edited is None:
            self.said = f"not changed: keep the lines {PROMPT} and {ANSWER}"
        elif edited != (one.prompt, one.chosen) and self._keep("edit", one, *edited):
            self.verified, self.scrolled = False, 0

    def _toxic(self, one: Reviewed) -> None:
        ref = one.pair.rejected
        try:
            text = self.quarantine.get(ref.sha256)
        except DataError as error:
            self.said = error.what
            return
        self.screen.show([f"TOXIC SIDE · {ref.category} · any key clears it", "", *wrapped(text)])
        self.screen.key()
        self.screen.show([])

    def _lines(self, one: Reviewed) -> list[str]:
        pair = one.pair
        body = [
            "PROMPT",
            *wrapped(one.prompt),
            "",
            "ANSWER TO LEARN",
            *wrapped(one.chosen),
            "",
            f"answer to avoid: hidden, {pair.rejected.length:,} characters, {pair.rejected.category}",
            *wrapped(f"made by {pair.made_by or '?'} from {pair.source or '?'}"),
        ]
        self.scrolled = self.scrolled if self.scrolled < len(body) else 0
        shown = body[self.scrolled : self.scrolled + _room()]
        return [*self._head(one), "", *shown, "", *wrapped(KEYS), self.said]

    def _head(self, one: Reviewed) -> Iterator[str]:
        place = self.places[self.at]
        counts = counts_text(place.pairs.reviewed())
        yield f"{self.at + 1}/{len(self.places)} · {place.pairs.name}: {counts} · {self.who}"
        facts = "facts verified" if self.verified else "FACTS NOT VERIFIED" if one.pair.informs else "gives no facts"
        by = f" by {one.who}" if one.who else ""
        yield f"{one.pair.kind} · {' › '.join(filter(None, one.pair.meta.values()))} · {one.status}{by} · {facts}"


def review_data(file: Path, name: str | None, kind: str | None, by: str | None) -> Iterator[str]:
    """Review the study's pending pairs on this terminal; yields what came of it.

    name: of one set; None: all. kind: of the pairs; None: all. by: who reviews; None: the user's name. Raises DataError
    where there is no such set or kind, and MergescopeError without a terminal.
    """
    study = open_study(file)
    sets = _sets(study, name)
    if kind is not None and kind not in KINDS:
        raise DataError("no such kind", where="--kind", value=kind, cure=f"use {', '.join(KINDS)}")
    places = [place for pairs in sets for place in _pending(pairs, kind)]
    if places:
        terminal = Terminal()
        quarantine = Quarantine(study.folder)
        walk = Reviewing(terminal, quarantine, by or _user(), places)
        with in_use(quarantine), terminal.opened():
            try:
                walk.run()
            except KeyboardInterrupt:
                walk.said = ""  # as quitting: every decision is kept already
        done = [f"{count} x {action}" for action, count in sorted(walk.done.items())]
        yield f"this time: {', '.join(done) or 'nothing decided'}"
    for pairs in sets:
        yield f"{pairs.name}: {counts_text(pairs.reviewed())}"


def _sets(study: Study, name: str | None) -> list[PairSet]:
    found = pair_sets(study.folder)
    if not found:
        cure = "make some with `mergescope data make` or `mergescope data selfalign`"
        raise DataError("this study has no made pairs", where=study.file, cure=cure)
    names = [pairs.name for pairs in found]
    if name is not None and name not in names:
        raise DataError("no such set", where="--set", value=name, cure=f"use {', '.join(names)}")
    return [pairs for pairs in found if name in (None, pairs.name)]


def _pending(pairs: PairSet, kind: str | None) -> Iterator[Place]:
    for one in pairs.reviewed():
        if one.status == "pending" and kind in (None, one.pair.kind):
            yield Place(pairs, one.pair.pair_id)


def _texts(text: str) -> tuple[str, str] | None:
    """Prompt and answer as they stand between the marker lines; None where the markers are gone."""
    lines = text.splitlines()
    if lines.count(PROMPT) != 1 or lines.count(ANSWER) != 1:
        return None
    first, second = lines.index(PROMPT), lines.index(ANSWER)
    if first > second:
        return None
    return "\n".join(lines[first + 1 : second]).strip(), "\n".join(lines[second + 1 :]).strip()


def _room() -> int:
    """Lines of the screen for the pair itself."""
    return max(3, shutil.get_terminal_size().lines - 9)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise MergescopeError("this user has no name", cure="say who reviews with --by") from None
