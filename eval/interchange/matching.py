"""From rows of a file to records of the store: which item, which checkpoint, which judge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eval.backlog import unanswered
from eval.conversations import rounds
from eval.identity import Message, answer_id, judge_id, sampling_id, text_id
from eval.interchange.forms import AnswerLine, JudgementLine
from eval.interchange.lines import Raw
from eval.judge import AxisScore, Judgement
from eval.prompts import Item
from eval.records import judgement_rows
from eval.rows import AnswerRow, AnswerTurnRow, JudgementRow, JudgeRow, LikelihoodRow, Row, ScoreRow, TextRow

IMPORTED = "imported"
"""Role of an imported checkpoint in a study, and kind of an imported judge's setting."""
SAMPLING = {"engine": IMPORTED}
"""How imported answers were drawn is not known here."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows are matched with."""

    items: Mapping[str, Sequence[Item]]
    """The study's items by prompt id."""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Sampling ids of the study's checkpoints by checkpoint id."""
    judges: frozenset[str] = frozenset()
    """Ids of the study's judges."""
    texts: frozenset[tuple[str, str]] = frozenset()
    """Prompt and text id of every answer that the study has."""


@dataclass(slots=True)
class Left:
    """Rows that were not taken in, by the reason: how many, and the first of them."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def note(self, reason: str, where: str) -> None:
        """Count one more."""
        count, first = self.found.get(reason, (0, where))
        self.found[reason] = count + 1, first

    def lines(self) -> Iterator[str]:
        """One line a reason."""
        for reason, (count, first) in self.found.items():
            yield f"not taken in: {count} rows, {reason} (the first: {first})"


@dataclass(slots=True)
class Taken:
    """Records by the id of the answer or judgement that they belong to."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    judges: dict[str, JudgeRow] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    """By judge id: judgements of one answer."""
    samples: int = 0
    """Answers to one prompt."""
    texts: set[tuple[str, str]] = field(default_factory=set)
    """Prompt and text id of each answer."""
    places: dict[str, str] = field(default_factory=dict)
    """Where the first row of each stands."""


def items_by_prompt(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Items by prompt id; a prompt may stand in several sets."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.prompt_id, []).append(item)
    return found


def answers(lines: Iterable[tuple[Raw, AnswerLine]], known: Known, checkpoint: str | None, left: Left) -> Taken:
    """Answers as records. checkpoint: id of the one that gave them; None: each row's own, which must be the study's.

    Raises DataError by line: ids that do not agree, a wrong number of turns, two answers in one place.
    """
    taken = Taken()
    for raw, line in lines:
        items = known.items.get(line.asked)
        if items is None:
            left.note("their prompt is in none of the study's sets", raw.where)
            continue
        if line.is_bare:
            left.note("their texts were left out when they were exported", raw.where)
            continue
        _check_turns(raw, line, items[0].messages)
        _check_bytes(raw, line, items[0].messages)
        owner = _owner(raw, line, known) if checkpoint is None else (checkpoint, sampling_id(SAMPLING))
        name = answer_id(owner[0], line.asked, owner[1], line.sample)
        if checkpoint is None and line.answer_id not in (None, name):
            raw.refuse("`answer_id` is not that of checkpoint, prompt, sampling and sample", line.answer_id, _RENAME)
        rows = list(_answer_rows(name, owner, line))
        if taken.rows.setdefault(name, rows) != rows:
            raw.refuse(f"another answer than {taken.places[name]} gives", cure="give each its own `sample`")
        taken.places.setdefault(name, raw.where)
        taken.samples = max(taken.samples, line.sample + 1)
        if line.body is not None:
            taken.texts.add((line.asked, text_id(line.body)))
    return taken


def judgements(
    lines: Iterable[tuple[Raw, JudgementLine]], known: Known, judge: str | None, sha256: str, left: Left
) -> Taken:
    """Judgements as records. judge: name of the judge; None: as each row says. sha256: of the files, the rubric of
    rows that name none.

    A judgement with an error on one axis is unscored as a whole. Raises DataError by line: no judge, an axis twice.
    """
    taken, told = Taken(), dict[tuple[str, str | None], tuple[str, list[Row]]]()
    for raw, line in lines:
        who = _judge(raw, line, known, judge, sha256)
        if line.judge_kind == "classifier" and who.judge_id not in known.judges:
            left.note("choices are scored by the study's own scorer alone", raw.where)
            continue
        items = [item for item in known.items.get(line.asked, []) if _fits(item, line, who)]
        if not items:
            left.note("no item of the study's sets has this prompt, kind and reference", raw.where)
            continue
        if (line.asked, line.judged) not in known.texts:
            left.note("the study has no such answer to this prompt", raw.where)
            continue
        if who.judge_id not in known.judges:
            taken.judges[who.judge_id] = who
        taken.repeats[who.judge_id] = max(taken.repeats.get(who.judge_id, 0), line.repeat + 1)
        for item in items:
            row = unanswered(item, line.judged, who.judge_id, line.repeat)
            name, new = row.judgement_id, list(judgement_rows(row, _judgement(line)))
            where, before = told.setdefault((name, line.axis), (raw.where, new))
            if before != new:
                raw.refuse(f"{where} judges the same answer otherwise", cure="give each its own `repeat`")
            taken.places.setdefault(name, raw.where)
            taken.rows[name] = _joined(taken.rows.get(name, []), new)
    return taken


_RENAME = "give the answers a name of their own with --checkpoint"


def _owner(raw: Raw, line: AnswerLine, known: Known) -> tuple[str, str]:
    """The study's checkpoint that a row names, and its sampling."""
    if line.checkpoint_id is None:
        raw.refuse("names no checkpoint", cure=_RENAME)
    sampling = known.checkpoints.get(line.checkpoint_id)
    if sampling is None:
        raw.refuse("`checkpoint_id` is none of the study's", line.checkpoint_id, _RENAME)
    if line.sampling_id != sampling:
        raw.refuse("`sampling_id` is not how the study asks this checkpoint", line.sampling_id, _RENAME)
    return line.checkpoint_id, sampling


def _check_turns(raw: Raw, line: AnswerLine, messages: Sequence[Message]) -> None:
    """An answer has as many turns as the prompt asks for; a failed one may have fewer."""
    asked, told = len(rounds(messages)), len(line.given)
    if not line.is_text and (told > asked if line.error_kind else told != asked):
        raw.refuse(f"has {told} turns, and the prompt asks for {asked}", cure="give `turns`, one for each")


def _check_bytes(raw: Raw, line: AnswerLine, messages: Sequence[Message]) -> None:
    """A likelihood is of the whole text: bits per byte are taken over its bytes."""
    size = len(messages[-1]["content"].encode())
    if line.likelihood is not None and line.likelihood.bytes != size:
        raw.refuse(f"`likelihood.bytes` of a text of {size}", line.likelihood.bytes, "measure the whole text, in UTF-8")


def _answer_rows(name: str, owner: tuple[str, str], line: AnswerLine) -> Iterator[Row]:
    body = line.body
    judged = None if body is None else text_id(body)
    yield AnswerRow(name, owner[0], line.asked, owner[1], line.sample, line.error_kind, judged)
    if body is not None:
        yield TextRow(text_id(body), body)
    for number, turn in enumerate(line.given):
        yield TextRow(text_id(turn.text), turn.text)
        yield AnswerTurnRow(name, number, text_id(turn.text), turn.finish_reason, turn.tokens)
    if line.likelihood is not None:
        yield LikelihoodRow(name, line.likelihood.log_likelihood, line.likelihood.tokens, line.likelihood.bytes)


def _judge(raw: Raw, line: JudgementLine, known: Known, name: str | None, sha256: str) -> JudgeRow:
    """Who judged: the study's own judge where the row names it, else an imported one."""
    if name is None and line.judgement_id is not None and line.judge_id in known.judges:
        return JudgeRow(line.judge_id or "", line.judge or "", line.judge_kind, "", "")
    called = name or line.judge
    if called is None:
        raw.refuse("`judge` is missing", cure="name the judge there, or with --judge")
    # the kind counts: a proxy never joins an LLM of the same name
    of = {"judge_kind": line.judge_kind, "rubric": line.rubric or line.judge_id or sha256}
    setting = {"kind": IMPORTED, "name": called, **of}
    text = json.dumps(setting, ensure_ascii=False, sort_keys=True)
    return JudgeRow(judge_id(setting), called, line.judge_kind, text, "not calibrated")


def _fits(item: Item, line: JudgementLine, who: JudgeRow) -> bool:
    """Whether a row is about this item: same kind and reference as far as it says, and same judgement if it is ours."""
    if line.kind not in (None, item.kind):
        return False
    if "reference_text_id" in line.model_fields_set and line.reference_text_id != item.reference_id:
        return False
    if line.judgement_id is None or line.judge_id != who.judge_id:
        return True
    return line.judgement_id == unanswered(item, line.judged, who.judge_id, line.repeat).judgement_id


def _judgement(line: JudgementLine) -> Judgement:
    """What a row says, as judges say it."""
    scores = () if line.axis is None or line.error_kind is not None else (_score(line, line.axis),)
    counts = line.tokens, line.cost, line.prompt_tokens, line.completion_tokens, line.currency
    return Judgement(scores, line.error_kind, line.raw, line.reported_model, *counts, line.output)


def _score(line: JudgementLine, axis: str) -> AxisScore:
    return AxisScore(axis, line.value, line.label, line.reason)


def _joined(before: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """One judgement of several rows: with its axes, or without any where one of them failed."""
    heads = [row for row in [*before, *new] if isinstance(row, JudgementRow)]
    error = next((row.error_kind for row in heads if row.error_kind is not None), None)
    others = [row for row in [*before, *new] if not isinstance(row, JudgementRow)]
    wanted = [row for row in others if not isinstance(row, ScoreRow) or error is None]
    kept = [row for row in wanted if not isinstance(row, TextRow) or row.text_id == heads[0].raw_text_id]
    return [replace(heads[0], error_kind=error), *dict.fromkeys(kept)]
