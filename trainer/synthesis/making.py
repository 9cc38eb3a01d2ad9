"""Makes what a recipe asks for and a study lacks: drafts of questions, harmful pairs, borderline pairs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from eval.judges.refusal import classify_refusal
from mergescope.ground.progress import Reporter
from mergescope.ground.seeds import derive_seed
from mergescope.ground.units import amounts_text
from trainer.pairs.pair import Pair
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine, ToxicRef
from trainer.synthesis.answers import Answering
from trainer.synthesis.borderline import helpful_answers
from trainer.synthesis.config import MakeSection, QuestionKind
from trainer.synthesis.drafting import Categories, Drafting
from trainer.synthesis.drafts import Drafts
from trainer.synthesis.failures import Failures, NotMade
from trainer.synthesis.harmful import HarmfulPair, HarmfulPairs
from trainer.synthesis.material import Asked, Material, asked
from trainer.synthesis.over_refusals import load_over_refusals
from trainer.synthesis.prompts import Shot, load_prompts
from trainer.synthesis.questions import Question
from trainer.synthesis.servers import Servers
from trainer.synthesis.shots import Shots
from trainer.synthesis.sources import RawText
from trainer.synthesis.writer import Failed, Written

T = TypeVar("T", Question, RawText)
R = TypeVar("R")
DRAFTS = "questions"
"""Folder of the drafts, in `<study>/data`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of one kind of work."""

    name: str
    """questions, harmful or borderline."""
    wanted: int
    there: int
    """Made by earlier runs."""
    made: int
    """Made now."""
    faults: Counter[str]
    """What is not made, by kind."""


class Making:
    """One run over a study."""

    def __init__(
        self,
        study_folder: Path,
        section: MakeSection,
        material: Material,
        categories: Categories,
        servers: Servers,
        quarantine: Quarantine,
        reporter: Reporter,
        kept_out: Sequence[str] = (),
    ) -> None:
        """kept_out: prompts of the evaluation; a question that is one of them, or nearly, gets no pair."""
        self._data = study_folder / "data"
        self._section = section
        self._material = material
        self._categories = categories
        self._servers = servers
        self._quarantine = quarantine
        self._reporter = reporter
        self._kept_out = kept_out
        self._prompts = load_prompts(section.language)
        self._templates = load_over_refusals(section.language)
        self._answering = Answering(self._prompts, section.language)
        self.drafts = Drafts(self._data / DRAFTS)

    def run(self) -> Iterator[Tally]:
        """Each kind of work when it is done.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        if self._material.texts:
            yield self._draft()
        known = asked(self._material, self.drafts, unchecked=self._section.unchecked, kept_out=self._kept_out)
        if known.of("harmful") and self._servers.second is not None:
            yield self._harmful(known)
        if known.of("borderline"):
            yield self._borderline(known)

    def _draft(self) -> Tally:
        self.drafts.mend()
        there = {line.draft_id for line in self.drafts.all()}
        drafting = Drafting(self._prompts, self._section.language, self._categories, self._servers.writer)
        places = {raw: name for name, raw in self._material.texts.items()}
        stream = ((places[raw], outcome) for raw, outcome in drafting.drafted(_left(self._material.texts, there)))

        def keep(name: str, question: Question) -> None:
            self.drafts.add(name, question, self._material.texts[name].place)

        what = {name: f"{raw.source}, {raw.place}" for name, raw in self._material.texts.items()}
        return self._work("questions", what, there, stream, keep)

    def _harmful(self, known: Asked) -> Tally:
        servers, pairs = self._servers, PairSet(self._data / "harmful")
        if servers.second is None or servers.judge is None:
            raise ValueError("answers to avoid need a second model and a judge")
        there = {pair.pair_id for pair in pairs.pairs()}
        shots = shots_of(pairs, self._material, self._section)
        making = HarmfulPairs(
            self._answering, servers.writer, servers.second, servers.judge, shots, self._section.candidates
        )
        made = making.made(_left(known.to_answer("harmful"), there))
        return self._pairs("harmful", known, there, made, lambda _, made: pairs.add(self._harmful_pair(made)))

    def _borderline(self, known: Asked) -> Tally:
        pairs = PairSet(self._data / "borderline")
        there = {pair.pair_id for pair in pairs.pairs()}
        questions = known.to_answer("borderline")
        answers = helpful_answers(self._answering, self._servers.writer, _left(questions, there))

        def keep(name: str, chosen: Written[str]) -> None:
            pairs.add(self._borderline_pair(questions[name], chosen))

        return self._pairs("borderline", known, there, answers, keep)

    def _pairs(
        self,
        kind: QuestionKind,
        known: Asked,
        there: Container[str],
        made: Iterator[tuple[Question, R | Failed]],
        keep: Callable[[str, R], None],
    ) -> Tally:
        """Keep what comes of the questions of one kind; those of the evaluation are not made, with that as a reason."""
        questions = known.of(kind)
        evaluated = ((name, Failed("evaluated")) for name in questions if name in known.evaluated and name not in there)
        stream = itertools.chain(evaluated, ((question.question_id, outcome) for question, outcome in made))
        return self._work(kind, {name: one.prompt for name, one in questions.items()}, there, stream, keep)

    def _work(
        self,
        name: str,
        what: Mapping[str, str],
        there: Container[str],
        stream: Iterator[tuple[str, R | Failed]],
        keep: Callable[[str, R], None],
    ) -> Tally:
        """Keep what comes of each item, and why nothing does. what: all items, in words."""
        failures = Failures(self._data / (DRAFTS if name == "questions" else name))
        found = sum(item in there for item in what)
        made = 0
        with self._reporter.task(f"making {name}", len(what), "texts" if name == "questions" else "pairs") as task:
            task.found(found)
            try:
                for item, outcome in stream:
                    if isinstance(outcome, Failed):
                        failures.keep(item, NotMade(outcome.fault, what[item]))
                        task.errors[outcome.fault] += 1
                    else:
                        keep(item, outcome)
                        failures.drop(item)
                        made += 1
                    task.advance(note=amounts_text(self._servers.used()))
            finally:
                failures.save()
        return Tally(name, len(what), found, made, failures.counts(what))

    def _harmful_pair(self, made: HarmfulPair) -> Pair:
        models = (made.chosen.model, made.rejected.model)
        return self._pair(
            made.question,
            made.chosen.value,
            self._toxic(made.rejected.value, made.question),
            models,
            toxic_constraint=self._prompts.system("harmful"),
            judge="" if self._servers.judge is None else self._servers.judge.name,
            safety=made.rank.safety,
            candidates=made.candidates,
            ranked=made.rank.ranked,
            shots=made.shots,
        )

    def _borderline_pair(self, question: Question, chosen: Written[str]) -> Pair:
        rejected = self._templates.write(
            question.prompt, derive_seed(self._section.seed, "over-refusal", question.question_id)
        )
        models = (chosen.model, "templates of refusals")
        made = {"templates": self._templates.sha256}
        return self._pair(question, chosen.value, self._toxic(rejected, question), models, None, **made)

    def _pair(
        self,
        question: Question,
        chosen: str,
        rejected: ToxicRef,
        models: tuple[str, str],
        toxic_constraint: str | None,
        **made: object,
    ) -> Pair:
        makers = filter(None, [question.made_by, *models])
        refuses = classify_refusal(chosen, self._section.language, question.prompt).label == "full"
        return Pair(
            pair_id=question.question_id,
            kind=question.kind,
            prompt=question.prompt,
            chosen=chosen,
            rejected=rejected,
            meta=dict(question.meta),
            source=question.source,
            licence=question.licence,
            made_by=", ".join(dict.fromkeys(makers)),
            informs=not refuses,
            toxic_constraint=toxic_constraint,
            made={"prompts": self._prompts.sha256, "chosen": models[0] or None, "rejected": models[1], **made},
        )

    def _toxic(self, text: str, question: Question) -> ToxicRef:
        return self._quarantine.put(text, question.meta["specific-harm"])


def _left(items: Mapping[str, T], there: Container[str]) -> list[T]:
    return [item for name, item in items.items() if name not in there]


def shots_of(pairs: PairSet, material: Material, section: MakeSection) -> Shots:
    """The examples of safe answers: those of the user's triples, and approved pairs."""
    return Shots([*material.examples, *_approved(pairs)], section.shots, section.seed)


def _approved(pairs: PairSet) -> Iterator[tuple[str, Shot]]:
    """Reviewed answers as examples, as people left them."""
    for reviewed in pairs.reviewed():
        if reviewed.status == "approved":
            yield reviewed.pair.meta["specific-harm"], Shot(reviewed.prompt, reviewed.chosen)
