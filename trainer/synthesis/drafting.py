"""Questions drafted from raw texts, one from each, with the specific harm that it belongs to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from eval.chat.client import SPARE, Session
from eval.chat.stream import completed
from eval.config import Output
from eval.judges.refusal import classify_refusal
from eval.judges.refusal_label import Language
from trainer.synthesis.language import is_in
from trainer.synthesis.prompts import Draft, Prompts, draft_schema, read_draft
from trainer.synthesis.questions import Question
from trainer.synthesis.sources import RawText
from trainer.synthesis.writer import Failed, Request, Writer, Written
from trainer.taxonomy.categories import LEVELS, Category, categories

Categories = Mapping[str, Mapping[str, str]]
"""A draft's choice: `risk-area`, `harm-type` and `specific-harm`, by the name of the last."""


def drafting_request(prompts: Prompts, text: RawText, categories: Categories, output: Output) -> Request:
    """What a writer is sent about a raw text."""
    names = list(categories)
    schema = draft_schema(names) if output == "json_schema" else None
    return Request(prompts.drafting(text.kind, text.text, names, output), schema=schema)


def categories_in(language: Language) -> Categories:
    """AnswerCarefully's 55 specific harms, by their names in this language."""
    leaves = [one for one in categories() if one.level == LEVELS[-1] and "ac" in one.origins]
    return {_name(leaf, language): dict(_meta(leaf, language)) for leaf in leaves}


def _meta(category: Category | None, language: Language) -> Iterator[tuple[str, str]]:
    if category is not None:
        yield from _meta(category.parent, language)
        yield category.level, _name(category, language)


def _name(category: Category, language: Language) -> str:
    return category.ja if language == "ja" else category.en


class Drafting:
    """Asks one writer for drafts."""

    def __init__(self, prompts: Prompts, language: Language, categories: Categories, writer: Writer) -> None:
        self._prompts = prompts
        self._language = language
        self._categories = categories
        self._writer = writer

    def drafted(self, texts: Iterable[RawText]) -> Iterator[tuple[RawText, Question | Failed]]:
        """Each text with the question made of it, as soon as it is there."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[RawText], Awaitable[Question | Failed]]]:
            async with self._writer.opened() as session:
                yield partial(self._draft, session)

        return completed(texts, opened, self._writer.section.concurrency * SPARE)

    async def _draft(self, session: Session, text: RawText) -> Question | Failed:
        request = drafting_request(self._prompts, text, self._categories, self._writer.section.output)
        outcome = await self._writer.write(session, request, self._read)
        return outcome if isinstance(outcome, Failed) else self._question(text, outcome)

    def _read(self, said: str) -> Draft | Failed:
        draft = read_draft(said, list(self._categories))
        if draft is None:
            declined = "{" not in said and classify_refusal(said, self._language).label == "full"
            return Failed("refused" if declined else "parse")
        if draft.question is not None and not is_in(draft.question, self._language):
            return Failed("language")
        return draft

    def _question(self, text: RawText, written: Written[Draft]) -> Question | Failed:
        draft = written.value
        if draft.question is None:
            return Failed("unfit")
        return Question(
            kind=text.kind,
            prompt=draft.question,
            meta=dict(self._categories[draft.category]),
            source=text.source,
            licence=text.licence,
            made_by=written.model,
        )
