"""What pairs are made from: raw texts, questions and examples, each file read and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.overlap import overlaps
from trainer.synthesis.config import MakeSection, QuestionKind
from trainer.synthesis.drafts import Drafts, draft_id
from trainer.synthesis.prompts import Shot
from trainer.synthesis.questions import Question, read_questions
from trainer.synthesis.sources import RawText, read_source
from trainer.triples import Triple, load_triples


@dataclass(frozen=True, slots=True)
class Material:
    """All that a recipe gives, as it lies on disk."""

    texts: dict[str, RawText]
    """By the id of the draft that each comes to, equal ones once, in order."""
    questions: tuple[Question, ...]
    """Those that the user has."""
    examples: tuple[tuple[str, Shot], ...]
    """Safe answers of the user's triples, each with its specific harm."""


def read_material(section: MakeSection, resolve: Callable[[Path], Path]) -> Material:
    """Read a recipe's files. resolve: where a path of the recipe lies. Raises DataError for the first that is bad."""
    texts: dict[str, RawText] = {}
    for source in section.sources:
        for raw in read_source(source, resolve(source.path)):
            texts.setdefault(draft_id(raw), raw)
    questions = [question for path in section.questions for question in read_questions(resolve(path))]
    triples = [triple for path in section.examples for triple in load_triples(resolve(path))]
    examples = [(triple.meta["specific-harm"], Shot(triple.prompt, triple.chosen)) for triple in triples]
    return Material(texts, tuple(questions), tuple(examples))


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions that answers are written to, and the drafts that are none yet."""

    questions: tuple[Question, ...]
    """Distinct, the user's own first, then drafts by their id."""
    evaluated: frozenset[str]
    """Ids of those that are a prompt of the evaluation, or nearly: no answers are written to them."""
    drafted: frozenset[str]
    """Ids of all drafts."""
    waiting: int
    """Drafts that nobody has approved or dropped."""

    def of(self, kind: QuestionKind) -> dict[str, Question]:
        """Those of one kind, by id."""
        return {question.question_id: question for question in self.questions if question.kind == kind}

    def to_answer(self, kind: QuestionKind) -> dict[str, Question]:
        """The same without those of the evaluation."""
        return {name: question for name, question in self.of(kind).items() if name not in self.evaluated}


def asked(material: Material, drafts: Drafts, *, unchecked: bool, kept_out: Sequence[str] = ()) -> Asked:
    """What there is to ask now.

    unchecked: drafts count that nobody has approved; dropped ones never do. kept_out: prompts of the evaluation.
    """
    lines = sorted(drafts.all(), key=lambda line: line.draft_id)  # not as they came: of equal ones the same shall count
    usable = ("approved", "pending") if unchecked else ("approved",)
    approved = (line.question for line in lines if line.status in usable)
    questions = tuple(_distinct([*material.questions, *approved]))
    prompts = (Triple(one.question_id, one.prompt, "", "", dict(one.meta)) for one in questions)
    return Asked(
        questions=questions,
        evaluated=frozenset(overlap.idx for overlap in overlaps(prompts, kept_out)),
        drafted=frozenset(line.draft_id for line in lines),
        waiting=sum(line.status == "pending" for line in lines),
    )


def _distinct(questions: Iterable[Question]) -> Iterator[Question]:
    seen: set[str] = set()
    for question in questions:
        if question.question_id not in seen:
            seen.add(question.question_id)
            yield question
