"""An LLM behind any OpenAI-compatible server as judge: JSON of a schema or in words, and one repair of a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from eval.chat.batch import batched, refuse_pending
from eval.chat.budget import Budget, BudgetReachedError, Used
from eval.chat.client import Asker, Chat, UnstructuredError
from eval.chat.journal import Response
from eval.chat.place import Place
from eval.chat.refusals import Failure
from eval.config import OpenAIJudge, Output
from eval.identity import judge_id
from eval.judge import ASKED, ErrorKind, Judgement, Question, setting_of
from eval.judges.cost import purse_of, tariff_of, with_cost
from eval.judges.rubric import READINGS, Rubric, load_rubric
from eval.prompts import Kind

_OUTPUTS: dict[bool, Output] = {True: "json_schema", False: "json"}
UNSTRUCTURED = 3
"""Questions refused with a schema, and none taken, before all are asked in words: one complaint may quote an answer."""


class OpenAIScorer:
    """Asks a served model, many questions in flight, each received response journalled before it is read."""

    def __init__(self, section: OpenAIJudge, journal: Path, rubric: Rubric, budget: Budget | None = None) -> None:
        """journal: a folder. budget: what the run may spend; None: no limit.

        Raises MergescopeError where the key's environment variable is not set, or where the budget is in a currency
        that no price of the section is known in.
        """
        self._section = section
        self._rubric = rubric
        self._tariff = tariff_of(section.price)
        self._output = section.output
        """How verdicts are asked for now."""
        self._gives_schema = False
        """Whether the server gave a verdict by its schema in this process."""
        self._unstructured: set[str] = set()
        """Questions, by judgement id, that it would not take with a schema."""
        self._place = Place(
            who="the judge's server",
            base_url=str(section.base_url),
            model=section.model,
            api_key_env=section.api_key_env,
            concurrency=section.concurrency,
            timeout_s=section.timeout_s,
        )
        purse = None if budget is None else purse_of(budget, self._tariff, section.model)
        self._chat = Chat(self._place, journal / f"{judge_id(self.setting)}.jsonl", purse)

    @classmethod
    def from_section(cls, section: OpenAIJudge, journal: Path, budget: Budget | None = None) -> OpenAIScorer:
        """The judge of a recipe; see `__init__`."""
        return cls(section, journal, load_rubric(section.language), budget)

    @property
    def name(self) -> str:
        """The model asked."""
        return self._section.model

    @property
    def kind(self) -> Literal["llm", "proxy", "classifier"]:
        """llm."""
        return "llm"

    @property
    def kinds(self) -> frozenset[Kind]:
        """All that need judging."""
        return ASKED

    @property
    def compares(self) -> bool:
        """Yes."""
        return True

    @property
    def setting(self) -> Mapping[str, object]:
        """As `setting_of` tells."""
        return setting_of(self._section, self._rubric.sha256)

    @property
    def repeats(self) -> int:
        """Judgements per answer."""
        return self._section.repeats

    @property
    def used(self) -> Used:
        """What this process took of the server."""
        return self._chat.used

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        """Each question with its judgement, as soon as it is there; without those that the budget does not pay.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers; and
        where questions wait in a batch that was sent, but the recipe has no `batch: true` any more.
        """
        if not self._section.batch:
            refuse_pending(self._chat)
        asked = batched if self._section.batch else Chat.stream
        for question, judgement in asked(self._chat, questions, self._judged):
            if judgement is not None:
                yield question, judgement

    async def _judged(self, session: Asker, question: Question) -> Judgement | None:
        """None: the budget does not pay for it, or not for asking again; another run goes on where this one stopped."""
        received: list[Response] = []
        judgement = Judgement((), "parse")
        while judgement.error_kind == "parse" and len(received) < READINGS:
            try:
                response = await self._asked(session, question, received)
            except BudgetReachedError:
                return None
            if not isinstance(response, Response):
                judgement = _failed(response, judgement if received else None)
                break
            received.append(response)
            judgement = self._read(question, response)
        return with_cost(judgement, received, self._tariff)

    async def _asked(self, session: Asker, question: Question, received: Sequence[Response]) -> Response | Failure:
        """The next response: to the question, or to a second try at it that shows what could not be read."""
        unreadable = (received[-1].text or "") if received else None
        request = partial(self._request, question, unreadable)
        try:
            return await session.ask(question.judgement_id, request, len(received))
        except UnstructuredError:
            self._unstructured.add(question.judgement_id)
            if not self._gives_schema and len(self._unstructured) >= UNSTRUCTURED:
                self._output = "json"
        return await session.ask(question.judgement_id, partial(request, output="json"), len(received))

    def _request(self, question: Question, unreadable: str | None, output: Output | None = None) -> dict[str, Any]:
        output = output or self._output
        request = {
            "model": self._section.model,
            "messages": self._rubric.messages(question, output, unreadable),
            "temperature": float(self._section.temperature),
            "max_tokens": self._section.max_tokens,  # a judge that never ends its reason would go on till the time-out
        }
        if output == "json":
            return request
        schema = {"name": "verdict", "strict": True, "schema": self._rubric.schema(question.rubric)}
        return {**request, "response_format": {"type": "json_schema", "json_schema": schema}}

    def _read(self, question: Question, response: Response) -> Judgement:
        error: ErrorKind | None = None
        scores = None if response.text is None else self._rubric.read(question.rubric, response.text)
        if response.finish_reason == "content_filter" or response.error_kind == "filter":
            error, scores = "filter", None
        elif response.refusal:
            error, scores = "refused", None
        elif scores is None:
            error = "parse"
        raw = response.text if response.text is not None else response.refusal
        output = self._section.output if response.structured is None else _OUTPUTS[response.structured]
        self._gives_schema |= output == "json_schema" and error is None
        said = None if raw is None else output
        return Judgement(scores or (), error, raw, response.model or None, output=said)


def _failed(failure: Failure, unreadable: Judgement | None) -> Judgement:
    """What a question is that got no response. unreadable: what its first one said; None: there was none."""
    if unreadable is not None and failure == "too_long":  # a repair is longer, and will not fit another time either
        return unreadable
    return Judgement((), "rejected" if failure == "too_long" else failure)
