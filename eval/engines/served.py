"""A model behind an OpenAI-compatible server as the engine: it answers, and its weights are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.chat.budget import BudgetReachedError, Purse
from eval.chat.client import Chat, Session
from eval.chat.journal import Response
from eval.chat.refusals import Failure
from eval.config import ServedCheckpoint
from eval.engine import Answer, Likelihood, Request, Sampling, Swap, Weights
from eval.engines.served_identity import ServedIdentity, journal_of, place_of
from eval.identity import prompt_id
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import content_id

if TYPE_CHECKING:
    import torch


class ServedEngine:
    """Asks many requests at once; each response is journalled before it is used, so that a kill pays nothing twice."""

    def __init__(
        self, section: ServedCheckpoint, identity: ServedIdentity, folder: Path, purse: Purse | None = None
    ) -> None:
        """folder: the study's. purse: what pays for requests; None: no limit.

        Raises MergescopeError where the key's environment variable is not set.
        """
        self._section = section
        self._identity = identity
        self._chat = Chat(place_of(section), journal_of(section, folder), purse)

    @property
    def places(self) -> Mapping[str, torch.Tensor]:
        """None: its weights are out of reach."""
        return {}

    def load(self, weights: Weights) -> Swap:  # noqa: ARG002 -- the protocol's
        """Raises MergescopeError: a served model's weights cannot be swapped."""
        raise MergescopeError("a served model's weights cannot be swapped", where=self._section.name)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        """Each request's place and its answer, as soon as it is there; without those that the purse does not pay.

        Raises MergescopeError for what no retry mends, and where another model answers than at first contact.
        """
        work = partial(self._answered, sampling)
        for (place, _), answer in self._chat.stream(enumerate(requests), work):
            if answer is not None:
                yield place, answer

    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:  # noqa: ARG002 -- the protocol's
        """Raises MergescopeError: a chat server tells none."""
        cure = "leave sets of kind text out, or give the model's folder (`kind: model`)"
        raise MergescopeError("a chat server tells no likelihoods of texts", where=self._section.name, cure=cure)

    def close(self) -> None:
        """Nothing is held between two calls."""

    async def _answered(self, sampling: Sampling, session: Session, asked: tuple[int, Request]) -> Answer | None:
        request = asked[1]
        name = prompt_id(request.messages)
        key = content_id("r1", [self._identity.checkpoint_id, name, sampling.sampling_id, request.seed])
        received = self._chat.journal.responses(key)
        usable = (self._is_ours(response) and _answer(response).error_kind != "server" for response in received)
        nth = next((i for i, one in enumerate(usable) if one), len(received))
        try:
            response = await session.ask(key, partial(self._body, request, sampling), nth)
        except BudgetReachedError:
            return None
        if isinstance(response, Response) and not self._is_ours(response):
            what = f"another model answers than at first contact: {response.model}, not {self._reported}"
            cure = "run again: it becomes a checkpoint of its own"
            raise MergescopeError(what, where=self._section.name, cure=cure)
        return _answer(response)

    @property
    def _reported(self) -> str:
        return self._identity.contact.reported

    def _is_ours(self, response: Response) -> bool:
        return response.error_kind is not None or (response.model or self._section.model) == self._reported

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": self._section.model,
            "messages": [dict(message) for message in request.messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed,
        }


def _answer(response: Response | Failure) -> Answer:
    if not isinstance(response, Response):
        return Answer("", "stop", 0, response)
    if response.error_kind is not None:
        return Answer("", "stop", 0, response.error_kind)
    if response.finish_reason == "content_filter":
        return Answer("", "stop", 0, "filter")
    # a model's own refusal is its answer, wherever the server puts it
    text = response.text if response.text is not None else response.refusal or None
    if text is None:  # thoughts that took all tokens, or a call of a tool
        return Answer("", "stop", 0, "server")
    return Answer(text, "length" if response.finish_reason == "length" else "stop", response.generated or 0)
