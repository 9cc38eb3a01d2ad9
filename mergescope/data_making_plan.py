"""What `mergescope data make` will take, said before the first call: nothing is sent, fetched or written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eval.chat.journal import Journal
from eval.chat.place import leaves_machine
from eval.config import OpenAIJudge, Price
from eval.judging_forecast import LATENCY_S, Amount
from eval.prompt_length import BYTES_PER_TOKEN
from mergescope.consent import host_line
from mergescope.data_order import DataOrder
from mergescope.ground.units import time_text
from mergescope.hosts import agreed_on, host_of_address
from mergescope.judging_plan_records import HostPlan
from mergescope.plan_layout import closing, count, fact, section, wrapped
from mergescope.study import Study
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine
from trainer.synthesis.answers import Answering
from trainer.synthesis.config import QuestionKind, WriterSection
from trainer.synthesis.drafting import drafting_request
from trainer.synthesis.forecast import (
    ANSWER_SHARE,
    DRAFT_TOKENS,
    Load,
    answer_tokens,
    judging,
    judging_most,
    left_of,
    to_come,
)
from trainer.synthesis.making import shots_of
from trainer.synthesis.prompts import load_prompts
from trainer.synthesis.questions import KINDS, Question
from trainer.synthesis.servers import second_journal, writer_journal


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """One kind of work."""

    name: str
    wanted: int
    there: int
    thing: str
    """What is counted: text, question."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One model behind a server."""

    role: str
    """writer, second model or judge."""
    model: str
    address: str
    price: Price | None
    once: Amount
    """Each text asked for once, and as long as texts are so far."""
    most: Amount
    """Each asked for as often as can be, and as long as can be; requests that the server fails come on top."""

    @property
    def host(self) -> str:
        """Scheme, host and port."""
        return host_of_address(self.address)


@dataclass(frozen=True, slots=True)
class DataPlan:
    """The whole forecast."""

    study: str
    work: tuple[WorkPlan, ...]
    servers: tuple[ServerPlan, ...]
    hosts: tuple[HostPlan, ...]
    notes: tuple[str, ...]


def data_plan(order: DataOrder) -> DataPlan:
    """The forecast."""
    counted = _Counted(order)
    servers = tuple(counted.servers())
    return DataPlan(
        study=order.study.recipe.study,
        work=tuple(counted.work()),
        servers=servers,
        hosts=tuple(_hosts(order.study, servers)),
        notes=tuple(counted.notes()),
    )


class _Counted:
    """What is there and what is left of one study."""

    def __init__(self, order: DataOrder) -> None:
        self._folder = order.study.folder
        self._make, self._judge, self._material = order.make, order.judge, order.material
        self._categories = order.categories
        self._prompts = load_prompts(order.make.language)
        self._answering = Answering(self._prompts, order.make.language)
        self._asked = order.asked()
        sets = {kind: PairSet(self._folder / "data" / kind) for kind in KINDS}
        self._there = {kind: {pair.pair_id for pair in pairs.pairs()} for kind, pairs in sets.items()}
        self._shots = shots_of(sets["harmful"], order.material, order.make)
        self._undrafted = [raw for name, raw in order.material.texts.items() if name not in self._asked.drafted]

    def work(self) -> Iterator[WorkPlan]:
        """Each kind of work that the recipe asks for."""
        if texts := len(self._material.texts):
            yield WorkPlan("questions", texts, texts - len(self._undrafted), "text")
        if self._judge is not None:
            yield self._pairs("harmful")
        yield self._pairs("borderline")

    def servers(self) -> Iterator[ServerPlan]:
        """Each model with what is left for it."""
        make = self._make
        journal = Journal(writer_journal(make.writer, self._folder))
        tokens, longest = answer_tokens(make.writer, journal), make.writer.max_tokens
        once = self._writing(journal, DRAFT_TOKENS, tokens, 1)
        yield _server("writer", make.writer, once, self._writing(journal, longest, longest, make.tries))
        if make.second is not None and self._judge is not None:
            yield from self._ranking(make.second, self._judge)

    def _writing(self, journal: Journal, draft_tokens: float, tokens: float, tries: int) -> Load:
        """What is left for the writer. draft_tokens, tokens: of one draft and one answer; tries: requests for each."""
        make = self._make
        drafts = [drafting_request(self._prompts, raw, self._categories, make.writer.output) for raw in self._undrafted]
        answers = [self._answering.request("borderline", one.prompt) for one in self._unanswered("borderline")]
        coming = self._coming("borderline")
        if self._judge is not None:
            coming += self._coming("harmful")
            harmful = self._unanswered("harmful")
            answers += [self._answering.request("safe", one.prompt, self._shots.of(one)) for one in harmful]
        load = left_of(make.writer, make.seed, drafts, journal, draft_tokens, tries)
        load = load.plus(left_of(make.writer, make.seed, answers, journal, tokens, tries))
        return load.plus(to_come(self._prompts, coming * tries, tokens))

    def notes(self) -> Iterator[str]:
        """What a reader should know."""
        if evaluated := len(self._asked.evaluated):
            yield f"{count(evaluated, 'question')} of the evaluation, or nearly, get no pairs"
        if self._asked.waiting and not self._make.unchecked:
            yield f"{count(self._asked.waiting, 'drafted question')} wait to be approved, and get no answers before"
        if self._undrafted and not self._make.unchecked:
            yield "answers to questions that are not drafted yet are not counted: they wait to be approved first"
        if self._judge is None and self._asked.of("harmful"):
            yield "no harmful pairs are made: the recipe names no `second` model"

    def _ranking(self, second: WriterSection, judge: OpenAIJudge) -> Iterator[ServerPlan]:
        journal = Journal(second_journal(second, Quarantine(self._folder)))
        tokens, longest = answer_tokens(second, journal), second.max_tokens
        once = self._candidates(second, journal, tokens, 1)
        yield _server("second model", second, once, self._candidates(second, journal, longest, self._make.tries))
        ranking, most = (self._judging(judge, size) for size in (tokens, longest))
        amounts = [load.amount(judge.concurrency, judge.price) for load in (ranking, judging_most(judge, most))]
        yield ServerPlan("judge", judge.model, str(judge.base_url), judge.price, *amounts)

    def _candidates(self, second: WriterSection, journal: Journal, tokens: float, tries: int) -> Load:
        make, questions = self._make, self._left("harmful")
        requests = [
            self._answering.request("harmful", question.prompt, sample=sample)
            for question in questions
            for sample in range(make.candidates)
        ]
        load = left_of(second, make.seed, requests, journal, tokens, tries)
        coming = self._coming("harmful") * make.candidates * tries
        return load.plus(to_come(self._prompts, coming, tokens))

    def _judging(self, judge: OpenAIJudge, tokens: float) -> Load:
        prompts = [question.prompt for question in self._left("harmful")]
        return judging(judge, prompts, self._coming("harmful"), self._make.candidates, tokens)

    def _pairs(self, kind: QuestionKind) -> WorkPlan:
        wanted = self._asked.of(kind)
        there = sum(name in self._there[kind] for name in wanted)
        return WorkPlan(kind, len(wanted), there, "question")

    def _left(self, kind: QuestionKind) -> list[Question]:
        return [one for name, one in self._asked.to_answer(kind).items() if name not in self._there[kind]]

    def _unanswered(self, kind: QuestionKind) -> list[Question]:
        """Those that come without an answer of their own."""
        return [question for question in self._left(kind) if question.chosen is None]

    def _coming(self, kind: QuestionKind) -> int:
        """Questions at most that will be drafted and answered in the same run."""
        return sum(raw.kind == kind for raw in self._undrafted) if self._make.unchecked else 0


def _server(role: str, writer: WriterSection, once: Load, most: Load) -> ServerPlan:
    amounts = [load.amount(writer.concurrency, writer.price) for load in (once, most)]
    return ServerPlan(role, writer.model, str(writer.base_url), writer.price, *amounts)


def _hosts(study: Study, servers: Sequence[ServerPlan]) -> Iterator[HostPlan]:
    for host in dict.fromkeys(server.host for server in servers):
        here = [server for server in servers if server.host == host]
        cost: defaultdict[str, float] = defaultdict(float)
        for server in here:
            if server.price is not None and server.most.cost is not None:
                cost[server.price.currency] += server.most.cost
        yield HostPlan(
            host=host,
            leaves=leaves_machine(host),
            agreed=agreed_on(study, host),
            requests=sum(server.most.questions for server in here),
            cost=dict(cost),
            unpriced=tuple(server.model for server in here if server.price is None),
        )


def data_plan_lines(plan: DataPlan) -> Iterator[str]:
    """The plan, line by line."""
    yield f"Plan of making data for the study {plan.study}: nothing is sent, fetched or written."
    yield from section("Work", (fact(w.name, f"{count(w.wanted, w.thing)}, {w.there:,} done") for w in plan.work))
    yield from section("Servers", _servers(plan.servers))
    yield from section("Texts go to", map(host_line, plan.hosts))
    yield from section("What the estimates stand on", [line for note in _BASIS for line in wrapped(note)])
    yield from closing(plan.notes, ())


_BASIS = (
    f"{BYTES_PER_TOKEN} bytes of UTF-8 a token, {DRAFT_TOKENS} tokens a drafted question, and {ANSWER_SHARE:g} of "
    "max_tokens an answer until a server has given some: assumed; what is sent, the judge's rubric too, is measured",
    "once each: if every response can be used, without the thoughts of a reasoning model",
    "at most: if each is asked for as often as `tries` allows, and each verdict again, all as long as max_tokens "
    "allows; what a server fails is asked for again and comes on top",
    f"time: {LATENCY_S:g} s a request (assumed) at the recipe's concurrency, if the server keeps up",
)


def _servers(servers: Sequence[ServerPlan]) -> Iterator[str]:
    yield f"{'':16}{'requests':>12}{'prompt tokens':>16}{'completion tokens':>19}{'cost':>16}{'time':>10}"
    for server in servers:
        yield f"{server.role}: {server.model} at {server.host}"
        yield _amount("once each", server.once, server.price)
        yield _amount("at most", server.most, server.price)


def _amount(name: str, amount: Amount, price: Price | None) -> str:
    cost = "no price" if price is None or amount.cost is None else f"{price.currency} {amount.cost:,.2f}"
    tokens = f"{amount.prompt_tokens:>16,}{amount.completion_tokens:>19,}"
    return f"{'  ' + name:16}{amount.questions:>12,}{tokens}{cost:>16}{time_text(amount.hours * 3600):>10}"
