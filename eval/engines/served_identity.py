"""Who a served model is: host, the model that it reports, its version, and the day of first contact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.chat.budget import Purse
from eval.chat.client import Chat, Session, UnreachableError
from eval.chat.journal import Response
from eval.chat.place import Place
from eval.chat.refusals import Failure
from eval.config import SamplingSection, ServedCheckpoint
from eval.engine import Sampling
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json, write_json
from mergescope.ground.ids import content_id

SERVED = "served"
"""Folder in the study's, with a record and a journal for each served model."""
PROBE: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 16}
"""The first question: it costs next to nothing and says what answers. One token alone is too few for some models."""


@dataclass(frozen=True, slots=True)
class Contact:
    """What a server said of itself at first contact."""

    host: str
    asked: str
    """Model name that it was asked for."""
    reported: str
    """Model name that it says it answers with."""
    version: str | None
    """Its system_fingerprint; None where it gives none."""
    date: str
    """Day of first contact, UTC: 2026-01-31."""


@dataclass(frozen=True, slots=True)
class ServedIdentity:
    """A served model as a checkpoint."""

    contact: Contact
    note: str | None
    """A line for the user where something is not as it was; None where all is."""

    @property
    def checkpoint_id(self) -> str:
        """Content id of the first contact."""
        return content_id("c2", {"served": asdict(self.contact)})

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the store keeps of it."""
        return asdict(self.contact)


def place_of(section: ServedCheckpoint) -> Place:
    """The server of one of `eval.checkpoints`."""
    return Place(
        who=f"the server of {section.name}",
        base_url=str(section.base_url),
        model=section.model,
        api_key_env=section.api_key_env,
        concurrency=section.concurrency,
        timeout_s=section.timeout_s,
    )


def journal_of(section: ServedCheckpoint, folder: Path) -> Path:
    """The file of received answers in the study's folder."""
    return folder / SERVED / f"{section.name}.jsonl"


def served_checkpoint(section: ServedCheckpoint, folder: Path, purse: Purse | None = None) -> ServedIdentity:
    """Who answers at the server, by one question to it and the record that an earlier run left in the study's folder.

    The same host, name and reported model as in the record are the same checkpoint, whatever the day; anything else
    is a new one from today. A server that cannot be reached is who the record says. purse: what pays for the question;
    None: no limit. Raises MergescopeError where the key is not set, where it is refused, where the model is not known,
    or where there is neither answer nor record; BudgetReachedError where the purse cannot pay.
    """
    place, path = place_of(section), folder / SERVED / f"{section.name}.json"
    chat = Chat(place, journal_of(section, folder), purse)
    known = Contact(**read_json(path)) if path.exists() else None
    try:
        said = _probe(chat)
    except UnreachableError as error:
        if known is None or (known.host, known.asked) != (place.host, section.model):
            raise
        return ServedIdentity(known, f"{error.what}; its answers since {known.date} stand")
    contact = _contact(place, said)
    if known is not None and (known.host, known.asked, known.reported) == (place.host, section.model, contact.reported):
        return ServedIdentity(known, _changed_version(section, known, contact))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(contact))
    return ServedIdentity(contact, None if known is None else _changed_model(section, known, contact))


def served_sampling(section: SamplingSection, seed: int) -> Sampling:
    """The recipe's sampling for a served model; its chat template is the server's own. `seed` is the study's."""
    setting: dict[str, object] = {
        "temperature": str(section.temperature),
        "max_tokens": section.max_tokens,
        "engine": "openai",
        "seed": None if section.temperature == 0 else seed,
    }
    return Sampling(float(section.temperature), section.max_tokens, section.samples, seed, setting)


def _probe(chat: Chat) -> Response:
    async def ask(session: Session, body: Mapping[str, Any]) -> Response | Failure:
        return await session.fresh("probe", {"model": chat.place.model, **body})

    ((_, said),) = chat.stream([PROBE], ask)
    if not isinstance(said, Response):
        raise UnreachableError(f"{chat.place.who} gives no answer: {said}", where=chat.place.host)
    if said.error_kind is not None:
        raise MergescopeError(f"{chat.place.who} does not take a greeting: {said.error_kind}", where=chat.place.host)
    return said


def _contact(place: Place, said: Response) -> Contact:
    today = datetime.now(UTC).date().isoformat()
    return Contact(place.host, place.model, said.model or place.model, said.version, today)


def _changed_version(section: ServedCheckpoint, known: Contact, now: Contact) -> str | None:
    if known.version == now.version:
        return None
    return f"{section.name}: the server's version is {now.version}, and was {known.version} on {known.date}"


def _changed_model(section: ServedCheckpoint, known: Contact, now: Contact) -> str:
    was = f"{known.reported} at {known.host} since {known.date}"
    return f"{section.name}: {now.reported} at {now.host} answers now, not {was}: a new checkpoint"
