"""An LLM behind any OpenAI-compatible server as judge: structured output, bounded retries, nothing asked twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI

from eval.config import OpenAIJudge
from eval.identity import judge_id
from eval.judge import ErrorKind, Judgement, Question
from eval.judges.journal import Journal, Response
from eval.judges.rubric import Rubric, load_rubric
from mergescope.ground.errors import MergescopeError

TRIES = 5
"""Requests for one verdict where the server is busy, fails or cannot be reached for a moment."""
FIRST_PAUSE_S = 0.5
"""Pause before the second try, doubled each time, with up to half of it more at random."""
LONGEST_PAUSE_S = 30.0
READINGS = 2
"""Verdicts asked for where the first cannot be read."""
LONGEST = 100_000
"""Characters of a text that the judge is shown."""


class OpenAIScorer:
    """Asks a served model, many questions in flight, each received response journalled before it is read."""

    def __init__(self, section: OpenAIJudge, key: str, journal: Path, rubric: Rubric) -> None:
        self._section = section
        self._key = key
        self._rubric = rubric
        self._heard = False
        """Whether the server ever answered: before that a refused connection stops the run."""
        self._answered = False
        """Whether it ever gave a verdict: from then on a bad request is one question's fault."""
        self._journal = Journal(journal / f"{judge_id(self.setting)}.jsonl")

    @classmethod
    def from_section(cls, section: OpenAIJudge, journal: Path) -> OpenAIScorer:
        """The judge of a recipe; raises MergescopeError where the key's environment variable is not set."""
        key = os.environ.get(section.api_key_env)
        if not key:
            raise MergescopeError(
                "the judge's key is not set", where=f"environment variable {section.api_key_env}", cure="export it"
            )
        return cls(section, key, journal, load_rubric(section.language))

    @property
    def name(self) -> str:
        """The model asked."""
        return self._section.model

    @property
    def kind(self) -> Literal["llm", "proxy", "classifier"]:
        """llm."""
        return "llm"

    @property
    def setting(self) -> Mapping[str, object]:
        """Model, host, rubric, decoding, output mode, language."""
        url = urlsplit(str(self._section.base_url))
        return {
            "kind": "llm",
            "model": self._section.model,
            "host": f"{url.hostname}:{url.port}" if url.port else str(url.hostname),
            "rubric": self._rubric.sha256,
            "temperature": str(self._section.temperature),
            "output": "json_schema",
            "language": self._section.language,
        }

    @property
    def repeats(self) -> int:
        """Judgements per answer."""
        return self._section.repeats

    @property
    def chunk(self) -> int:
        """Enough that the last slow answers of a chunk matter little."""
        return self._section.concurrency * 16

    def score(self, batch: Sequence[Question]) -> list[Judgement]:
        """Judgements in the order of the questions.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        return asyncio.run(self._score_all(batch))

    async def _score_all(self, batch: Sequence[Question]) -> list[Judgement]:
        gate = asyncio.Semaphore(self._section.concurrency)
        async with AsyncOpenAI(
            api_key=self._key,
            base_url=str(self._section.base_url),
            timeout=float(self._section.timeout_s),
            max_retries=0,
        ) as client:

            async def one(question: Question) -> Judgement:
                async with gate:
                    return await self._judged(client, question)

            return list(await asyncio.gather(*(one(question) for question in batch)))

    async def _judged(self, client: AsyncOpenAI, question: Question) -> Judgement:
        received = self._journal.responses(question.judgement_id)
        for reading in range(READINGS):
            if reading >= len(received):
                failure = await self._ask(client, question)
                if failure is not None:
                    return Judgement((), failure)
                received = self._journal.responses(question.judgement_id)
            judgement = self._read(question, received[reading])
            if judgement.error_kind != "parse":
                return judgement
        return judgement

    async def _ask(self, client: AsyncOpenAI, question: Question) -> ErrorKind | None:
        """One verdict into the journal; the kind of error where none could be had."""
        failure: ErrorKind = "server"
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._pause(attempt))
            try:
                completion = await client.chat.completions.create(**self._request(question))
            except openai.APITimeoutError:
                failure = "timeout"
            except openai.APIConnectionError as error:
                if not self._heard and attempt == TRIES - 1:
                    raise self._fatal("cannot be reached", error, "start it, or correct base_url") from None
                failure = "server"
            except openai.APIStatusError as error:
                refused = self._refused(error)
                if refused is not None:
                    return refused
                failure = "server"
            else:
                self._heard = self._answered = True
                self._journal.append(_response(question.judgement_id, completion))
                return None
        return failure

    def _request(self, question: Question) -> dict[str, Any]:
        schema = {"name": "verdict", "strict": True, "schema": self._rubric.schema(question.kind)}
        return {
            "model": self._section.model,
            "messages": self._rubric.messages(_shortened(question)),
            "temperature": float(self._section.temperature),
            "response_format": {"type": "json_schema", "json_schema": schema},
        }

    def _refused(self, error: openai.APIStatusError) -> ErrorKind | None:
        """None where another try may help; otherwise the kind, or a raise where every question would fail alike."""
        known = self._answered
        self._heard = True
        if error.status_code in (408, 409, 429) or error.status_code >= 500:
            return None
        if any(word in f"{error.code} {error.body}" for word in ("content_filter", "content_policy")):
            return "filter"
        if known and error.status_code in (400, 413, 422):  # this question alone: too long, or not to its liking
            return "refused"
        if error.status_code in (401, 403):
            raise self._fatal("refuses the key", error, f"check {self._section.api_key_env}") from None
        if error.status_code == 404:
            raise self._fatal(f"does not know {self._section.model!r}", error, "correct model or base_url") from None
        raise self._fatal("refuses the request", error, "check that it offers structured output") from None

    def _fatal(self, what: str, error: Exception, cure: str) -> MergescopeError:
        # never the server's own words: they may repeat the key, the prompt or the answer
        status = getattr(error, "status_code", None)
        detail = type(error).__name__ if status is None else f"HTTP {status}"
        return MergescopeError(f"the judge's server {what}: {detail}", where=self.setting["host"], cure=cure)  # type: ignore[arg-type]

    def _pause(self, attempt: int) -> float:
        pause = min(FIRST_PAUSE_S * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)
        return pause * (1 + random.random() / 2)

    def _read(self, question: Question, response: Response) -> Judgement:
        error: ErrorKind | None = None
        scores = None if response.text is None else self._rubric.read(question.kind, response.text)
        if response.finish_reason == "content_filter":
            error, scores = "filter", None
        elif response.refusal:
            error, scores = "refused", None
        elif scores is None:
            error = "parse"
        raw = response.text if response.text is not None else response.refusal
        return Judgement(scores or (), error, raw, response.model, response.tokens)


def _response(judgement_id: str, completion: Any) -> Response:
    choice = completion.choices[0] if completion.choices else None
    usage = completion.usage
    return Response(
        judgement_id=judgement_id,
        text=None if choice is None else choice.message.content,
        finish_reason=None if choice is None else choice.finish_reason,
        refusal=None if choice is None else choice.message.refusal,
        model=str(completion.model),
        tokens=None if usage is None else int(usage.total_tokens),
    )


def _shortened(question: Question) -> Question:
    return replace(question, answer=question.answer[:LONGEST])
