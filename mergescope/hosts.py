"""The hosts that a study sends texts to, and the user's word for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eval.config import OpenAIJudge, ServedCheckpoint
from mergescope.ground.files import read_json, write_json
from mergescope.study import Study

HOSTS = "hosts"
"""Folder in the study's, with a record for each host that was agreed to."""


def hosts_of(study: Study, only: Sequence[str] = ()) -> list[str]:
    """The hosts of the recipe's judges and served models, each once; to no other are texts sent.

    only: names of the checkpoints that are evaluated; none: all. Judges are asked in any case.
    """
    section = study.recipe.eval
    judges = [str(one.base_url) for one in section.judges if isinstance(one, OpenAIJudge)]
    served = [one for one in section.checkpoints if isinstance(one, ServedCheckpoint)]
    asked = [str(one.base_url) for one in served if not only or one.name in only]
    return list(dict.fromkeys(host_of_address(address) for address in [*judges, *asked]))


def host_of_address(base_url: str) -> str:
    """Scheme, host and port of an address: `https://api.openai.com`. A path is of no matter to who receives texts."""
    url = urlsplit(base_url)
    name = url.hostname or ""
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}{f':{url.port}' if url.port else ''}"


def agreed_on(study: Study, host: str) -> str | None:
    """The day on which the user agreed to send this study's texts to a host; None: not yet."""
    path = _record(study, host)
    if not path.is_file():
        return None
    record: dict[str, Any] = read_json(path)
    return str(record["agreed"]) if record.get("host") == host else None


def remember(study: Study, host: str, *, told: str) -> None:
    """Keep that the user agreed today. told: what was shown before."""
    today = datetime.now(UTC).date().isoformat()
    write_json(_record(study, host), {"host": host, "agreed": today, "told": told})


def _record(study: Study, host: str) -> Path:
    scheme, _, place = host.partition("://")
    name = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in place)
    return study.folder / HOSTS / f"{scheme}_{name}.json"
