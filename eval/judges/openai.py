"""An LLM behind any OpenAI-compatible server as judge: structured output, and one more try at an unreadable verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from eval.chat.batch import batched
from eval.chat.client import Asker, Chat
from eval.chat.journal import Response
from eval.chat.place import Place
from eval.config import OpenAIJudge
from eval.identity import judge_id
from eval.judge import ASKED, ErrorKind, Judgement, Question
from eval.judges.rubric import Rubric, load_rubric
from eval.prompts import Kind

READINGS = 2
"""Verdicts asked for where the first cannot be read."""
LONGEST = 100_000
"""Characters of a text that the judge is shown."""


class OpenAIScorer:
    """Asks a served model, many questions in flight, each received response journalled before it is read."""

    def __init__(self, section: OpenAIJudge, journal: Path, rubric: Rubric) -> None:
        """journal: a folder. Raises MergescopeError where the key's environment variable is not set."""
        self._section = section
        self._rubric = rubric
        self._place = Place(
            who="the judge's server",
            base_url=str(section.base_url),
            model=section.model,
            api_key_env=section.api_key_env,
            concurrency=section.concurrency,
            timeout_s=section.timeout_s,
        )
        self._chat = Chat(self._place, journal / f"{judge_id(self.setting)}.jsonl")

    @classmethod
    def from_section(cls, section: OpenAIJudge, journal: Path) -> OpenAIScorer:
        """The judge of a recipe; raises MergescopeError where the key's environment variable is not set."""
        return cls(section, journal, load_rubric(section.language))

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
        """Model, host, rubric, decoding, output mode, language."""
        return {
            "kind": "llm",
            "model": self._section.model,
            "host": self._place.host,
            "rubric": self._rubric.sha256,
            "temperature": str(self._section.temperature),
            "output": "json_schema",
            "language": self._section.language,
        }

    @property
    def repeats(self) -> int:
        """Judgements per answer."""
        return self._section.repeats

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        """Each question with its judgement, as soon as it is there.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        if self._section.batch:
            return batched(self._chat, questions, self._judged)
        return self._chat.stream(questions, self._judged)

    async def _judged(self, session: Asker, question: Question) -> Judgement:
        for reading in range(READINGS):
            response = await session.ask(question.judgement_id, partial(self._request, question), reading)
            if not isinstance(response, Response):
                return Judgement((), "rejected" if response == "too_long" else response)
            judgement = self._read(question, response)
            if judgement.error_kind != "parse":
                return judgement
        return judgement

    def _request(self, question: Question) -> dict[str, Any]:
        schema = {"name": "verdict", "strict": True, "schema": self._rubric.schema(question.rubric)}
        return {
            "model": self._section.model,
            "messages": self._rubric.messages(_shortened(question)),
            "temperature": float(self._section.temperature),
            "response_format": {"type": "json_schema", "json_schema": schema},
        }

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
        return Judgement(scores or (), error, raw, response.model or None, response.tokens)


def _shortened(question: Question) -> Question:
    other = None if question.other is None else question.other[:LONGEST]
    return replace(question, answer=question.answer[:LONGEST], other=other)
