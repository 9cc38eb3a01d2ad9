"""What judging a study will take, said before the first call: nothing is sent, fetched or written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.backlog import Wanted, wanted_answers
from eval.chat.place import host_of, leaves_machine
from eval.config import RESERVED, EvalSection, ModelCheckpoint, OpenAIJudge, PairwiseSection, ServedCheckpoint
from eval.conversations import rounds
from eval.interchange.matching import IMPORTED
from eval.judge import ASKED
from eval.judges.rubric import Rubric, load_rubric
from eval.judging_forecast import Amount, Coming, forecast, hours_of, pair_forecast, repair_bytes, unread
from eval.outstanding import JudgeState, PromptAnswers, Standing, answers_by_prompt, judge_state, made_pairs
from eval.pairwise import COMPARED
from eval.prompt_length import BYTES_PER_TOKEN
from eval.prompts import Item, PromptSet
from eval.store import open_store
from merge.points import MergePoint
from mergescope.hosts import agreed_on, host_of_address, hosts_of
from mergescope.inputs import check_names, known_prompts
from mergescope.judging_plan_records import AnswersPlan, HostPlan, JudgePlan, JudgingPlan, ServedPlan
from mergescope.plan_answers import TYPICAL_SHARE
from mergescope.study import Study
from mergescope.sweep import MERGES, study_id


@dataclass(frozen=True, slots=True)
class _Linked:
    """A checkpoint that the store links to the study and that its recipe still asks in the same way."""

    standing: Standing
    role: str
    label: str


def judging_plan(study: Study, store: Path, only: Sequence[str] = ()) -> JudgingPlan:
    """The forecast. only: names of what is evaluated, as `mergescope eval --only` takes them; none: everything.

    Raises MergescopeError for a name that is no checkpoint's, StoreError for a results file that is not ours.
    """
    check_names(study, only)
    sets, complaint = known_prompts(study)
    refusals = () if complaint is None else (complaint.line(),)
    asked = _Asked.of(study, only)
    if sets is None:
        notes = () if complaint else ("the prompts are not written yet: the world stage of `mergescope train` does it",)
        hosts = tuple(_hosts(study, only, (), (), known=False))
        return JudgingPlan(study.recipe.study, None, (), _here(study), (), hosts, notes, refusals)
    opened = open_store(store, read_only=True) if store.exists() else nullcontext()
    with opened as connection:
        linked = [] if connection is None else list(_linked(connection, study, asked))
        counted = _Counted(study, sets, asked, linked, connection)
        judges, served = tuple(counted.judges()), tuple(counted.served())
    return JudgingPlan(
        study=study.recipe.study,
        answers=counted.answers(),
        judges=judges,
        here=_here(study),
        served=served,
        hosts=tuple(_hosts(study, only, judges, served, known=True)),
        notes=(),
        refusals=refusals,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """The checkpoints that a run asks."""

    points: Sequence[MergePoint]
    references: Sequence[str]
    models: Sequence[ModelCheckpoint]
    served: Sequence[ServedCheckpoint]

    @classmethod
    def of(cls, study: Study, only: Sequence[str]) -> _Asked:
        own = [name for name in RESERVED if not only or name in only]
        beside = [one for one in study.recipe.eval.checkpoints if not only or one.name in only]
        return cls(
            points=study.recipe.points if MERGES in own else [],
            references=[name for name in own if name != MERGES],
            models=[one for one in beside if isinstance(one, ModelCheckpoint)],
            served=[one for one in beside if isinstance(one, ServedCheckpoint)],
        )

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.points) + len(self.references) + len(self.models) + len(self.served)

    def answers(self, section: EvalSection) -> int:
        """Answers of all of them to one prompt."""
        others = (self.count - len(self.points)) * section.sampling.samples
        return others + sum(section.samples_at(point.ratio) for point in self.points)

    def often(self, section: EvalSection) -> int:
        """Those of merges whose answers are judged more often than others."""
        listed = [point.ratio for point in self.points if section.judge_repeats_at(point.ratio) > 1]
        return sum(map(section.samples_at, listed))

    def compared(self, section: PairwiseSection) -> int:
        """How many of them are held against the baseline."""
        names = [point.label for point in self.points if MERGES not in section.checkpoints]
        names += [*self.references, *(one.name for one in self.models), *(one.name for one in self.served)]
        merges = len(self.points) if MERGES in section.checkpoints else 0
        return merges + sum(name in section.checkpoints and name != section.baseline for name in names)


class _Counted:
    """What is there and what is left of one study."""

    def __init__(
        self,
        study: Study,
        sets: Sequence[PromptSet],
        asked: _Asked,
        linked: Sequence[_Linked],
        connection: DuckDBPyConnection | None,
    ) -> None:
        self._study = study
        self._asked = asked
        self._linked = linked
        self._connection = connection
        self._wanted = wanted_answers(sets, 1, measured=False)
        items = {(i.prompt_id, i.kind, i.reference_id): i for one_set in sets for i in one_set.items if i.kind in ASKED}
        self._items: list[Item] = list(items.values())
        self._there = self._answers([one for one in linked if one.role != IMPORTED])
        texts = self._answers(linked).values()
        self._texts, self._distinct = sum(one.texts for one in texts), sum(one.distinct for one in texts)
        self._bytes = sum(one.bytes for one in texts)

    def answers(self) -> AnswersPlan:
        """The answers that are to be judged."""
        each = self._asked.answers(self._study.recipe.eval)
        return AnswersPlan(
            checkpoints=self._asked.count,
            prompts=len(self._wanted),
            wanted=each * len(self._wanted),
            there=sum(min(each, _settled(self._there, one)) for one in self._wanted),
            distinct=self._share,
            bytes=self._mean_bytes,
        )

    def judges(self) -> Iterator[JudgePlan]:
        """Those of the recipe that ask a server."""
        coming = self._coming()
        for section in self._study.recipe.eval.judges:
            if isinstance(section, OpenAIJudge):
                rubric = load_rubric(section.language)
                state = self._state(section, rubric.sha256)
                at_most, expected, lengths = forecast(section, rubric, self._items, state, coming)
                pairs = self._pairs(section, rubric, self._mean_bytes)
                yield JudgePlan(
                    name=section.model,
                    host=host_of_address(str(section.base_url)),
                    made=state.made,
                    at_most=at_most,
                    expected=expected,
                    pairs=pairs,
                    most=tuple(self._most(section, rubric, state, coming)),
                    lengths=lengths,
                    repeats=section.repeats,
                    concurrency=section.concurrency,
                    batch=section.batch,
                    currency=None if section.price is None else section.price.currency,
                )

    def served(self) -> Iterator[ServedPlan]:
        """The served models that are asked."""
        samples = self._study.recipe.eval.sampling.samples
        for section in self._asked.served:
            there = self._answers([one for one in self._linked if (one.role, one.label) == ("served", section.name)])
            turns = sum(len(rounds(one.messages)) * max(0, samples - _settled(there, one)) for one in self._wanted)
            hours = hours_of(turns + 1, section.concurrency)
            yield ServedPlan(section.name, host_of_address(str(section.base_url)), turns + 1, hours)

    def _most(self, section: OpenAIJudge, rubric: Rubric, state: JudgeState, coming: Coming) -> Iterator[Amount]:
        """Of judging, and of comparing if the recipe asks for it."""
        longest = self._study.recipe.eval.sampling.max_tokens * BYTES_PER_TOKEN
        whole = replace(coming, bytes=[longest * len(rounds(item.messages)) for item in self._items])
        repair = max((repair_bytes(rubric, item.kind) for item in self._items), default=0)
        yield unread(section, forecast(section, rubric, self._items, state, whole)[0], repair)
        if (pairs := self._pairs(section, rubric, longest)) is not None:
            yield unread(section, pairs, repair_bytes(rubric, "benign", pair=True))

    def _pairs(self, section: OpenAIJudge, rubric: Rubric, answer_bytes: float) -> Amount | None:
        pairwise = self._study.recipe.eval.pairwise
        if pairwise is None:
            return None
        items = list({item.prompt_id: item for item in self._items if item.kind in COMPARED}.values())
        standing = [one.standing for one in self._linked]
        made = 0 if self._connection is None else made_pairs(self._connection, section, rubric.sha256, standing, items)
        pairs = self._asked.compared(pairwise) * self._study.recipe.eval.sampling.samples
        return pair_forecast(section, rubric, items, pairs, made, answer_bytes)

    @property
    def _share(self) -> float | None:
        return self._distinct / self._texts if self._texts else None

    @property
    def _mean_bytes(self) -> float:
        if self._texts:
            return self._bytes / self._texts
        return self._study.recipe.eval.sampling.max_tokens * TYPICAL_SHARE * BYTES_PER_TOKEN

    def _coming(self) -> Coming:
        section = self._study.recipe.eval
        each, often = self._asked.answers(section), self._asked.often(section)
        closely = self._answers([one for one in self._linked if one.standing.judge_repeats > 1])
        turns = [1 if self._texts else len(rounds(item.messages)) for item in self._items]
        return Coming(
            answers=[max(0, each - _settled(self._there, item)) for item in self._items],
            bytes=[self._mean_bytes * number for number in turns],
            distinct=self._share,
            often=[max(0, often - _settled(closely, item)) for item in self._items],
            judge_repeats=1 if section.shortlist is None else section.shortlist.judge_repeats,
        )

    def _answers(self, linked: Sequence[_Linked]) -> dict[str, PromptAnswers]:
        if self._connection is None or not linked:
            return {}
        found = answers_by_prompt(self._connection, [one.standing for one in linked])
        prompts = {one.prompt_id for one in self._wanted}
        return {prompt: answers for prompt, answers in found.items() if prompt in prompts}

    def _state(self, section: OpenAIJudge, rubric: str) -> JudgeState:
        if self._connection is None:
            return JudgeState(0, {}, [])
        standing = [one.standing for one in self._linked]
        return judge_state(self._connection, section, rubric, standing, self._items)


def _settled(there: Mapping[str, PromptAnswers], wanted: Wanted | Item) -> int:
    return there[wanted.prompt_id].settled if wanted.prompt_id in there else 0


def _linked(connection: DuckDBPyConnection, study: Study, asked: _Asked) -> Iterator[_Linked]:
    """What of the store's links still is what the recipe asks; weights are not looked at, for that takes a run."""
    rows = connection.execute(
        """SELECT checkpoint_id, link.sampling_id, link.samples, link.role, label, recipe, setting, method, mode, ratio,
          density_safe, density_useful, lambda_, mask_seed, normalize, rescale, int8_mask, gradient
        FROM study_checkpoint AS link JOIN checkpoint USING (checkpoint_id)
        JOIN sampling ON sampling.sampling_id = link.sampling_id WHERE study_id = ?""",
        [study_id(study)],
    ).fetchall()
    section = study.recipe.eval
    points = {_point_key(point) for point in asked.points}
    for checkpoint, sampling, linked, role, label, recipe, setting, *point in rows:
        imported, served = role == IMPORTED, role == "served"
        samples, repeats = section.sampling.samples, 1
        if role == "merge":
            samples, repeats = section.samples_at(point[2]), section.judge_repeats_at(point[2])
        standing = Standing(checkpoint, sampling, linked if imported else samples, served, repeats)
        wanted = {
            "merge": (*point[:-1], tuple(point[-1] or ())) in points,
            "other": label in [one.name for one in asked.models],
            "served": any(_is_same(one, label, json.loads(recipe)) for one in asked.served),
        }.get(role, role in asked.references)
        if imported or (wanted and _samples_alike(study, json.loads(setting), served=served)):
            yield _Linked(standing, role, label)


def _point_key(point: MergePoint) -> tuple[object, ...]:
    return (
        *(point.method, point.mode, point.ratio, point.density_safe, point.density_useful, point.lambda_),
        *(point.mask_seed, point.normalize, point.rescale, point.int8_mask, point.gradient),
    )


def _is_same(section: ServedCheckpoint, label: str, contact: Mapping[str, Any]) -> bool:
    asked = section.name, host_of(str(section.base_url)), section.model
    return asked == (label, contact.get("host"), contact.get("asked"))


def _samples_alike(study: Study, setting: Mapping[str, Any], *, served: bool) -> bool:
    """Whether texts were drawn as the recipe says now; the chat template is not looked at."""
    section = study.recipe.eval
    wanted: dict[str, object] = {
        "temperature": str(section.sampling.temperature),
        "max_tokens": section.sampling.max_tokens,
        "engine": "openai" if served else section.engine.kind,
        "seed": None if section.sampling.temperature == 0 else study.recipe.seed,
    }
    if not served:
        wanted["dtype"] = section.engine.dtype
    return all(setting.get(key) == value for key, value in wanted.items())


def _here(study: Study) -> tuple[str, ...]:
    return tuple(one.kind for one in study.recipe.eval.judges if not isinstance(one, OpenAIJudge))


def _hosts(
    study: Study, only: Sequence[str], judges: Sequence[JudgePlan], served: Sequence[ServedPlan], *, known: bool
) -> Iterator[HostPlan]:
    """Every host once. known: whether there are counts."""
    for host in hosts_of(study, only):
        mine = [one for one in judges if one.host == host]
        others = [one for one in served if one.host == host]
        cost: dict[str, float] = {}
        for one in mine:
            if one.currency is not None:
                cost[one.currency] = cost.get(one.currency, 0.0) + sum(amount.cost or 0.0 for amount in one.most)
        requests = sum(amount.questions for one in mine for amount in one.most)
        requests += sum(one.requests for one in others)
        unpriced = [one.name for one in mine if one.currency is None] + [one.name for one in others]
        agreed = agreed_on(study, host)
        yield HostPlan(host, leaves_machine(host), agreed, requests if known else None, cost, tuple(unpriced))
