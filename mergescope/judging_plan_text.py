"""A plan of judging as plain text that reads well on 80 to 100 columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from eval.judging_forecast import BATCH_HOURS, LATENCY_S, REASON_BYTES, Amount
from eval.prompt_length import BYTES_PER_TOKEN
from mergescope.consent import host_line
from mergescope.ground.errors import printable
from mergescope.ground.units import time_text
from mergescope.judging_plan import judging_plan
from mergescope.judging_plan_records import AnswersPlan, JudgePlan, JudgingPlan
from mergescope.plan_answers import TYPICAL_SHARE
from mergescope.plan_layout import closing, count, fact, section, wrapped
from mergescope.retention import open_study


def show_judging_plan(file: Path, store: Path, only: Sequence[str], *, as_json: bool) -> int:
    """Print what judging a recipe takes, and on stderr what stands against it; returns 2 if anything does, else 0."""
    plan = judging_plan(open_study(file), store, only)
    if as_json:
        print(json.dumps(asdict(plan), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        print("\n".join(map(printable, judging_plan_lines(plan))))  # model names are the recipe's words
    for refusal in plan.refusals:
        print(printable(refusal), file=sys.stderr)
    return 2 if plan.refusals else 0


def judging_plan_lines(plan: JudgingPlan) -> Iterator[str]:
    """The plan, line by line; what stands against a run is not among them (`JudgingPlan.refusals`)."""
    yield f"Plan of judging the study {plan.study}: nothing is sent, fetched or written."
    if plan.answers is not None:
        yield from section("Answers", _answers(plan.answers))
    yield from section("Judges", _judges(plan))
    if plan.served:
        yield from section("Served models", (_served(one.name, one.requests, one.hours) for one in plan.served))
    if plan.hosts:
        yield from section("Texts go to", map(host_line, plan.hosts))
    if basis := [line for note in _basis(plan) for line in wrapped(note)]:
        yield from section("What the estimates stand on", basis)
    yield from closing(plan.notes, plan.refusals)


def _answers(answers: AnswersPlan) -> Iterator[str]:
    yield fact("checkpoints", f"{answers.checkpoints:,}, each asked {count(answers.prompts, 'prompt')}")
    yield fact("answers", f"{answers.wanted:,} wanted, {answers.there:,} there")
    if answers.distinct is None:
        yield fact("equal answers", "are judged once; none is there yet, so how many will be is not known")
        yield fact("length", f"{answers.bytes:,.0f} bytes an answer (assumed: {TYPICAL_SHARE:g} of max_tokens)")
    else:
        yield fact("equal answers", f"are judged once; so far {answers.distinct:.0%} of the answers to a prompt differ")
        yield fact("length", f"{answers.bytes:,.0f} bytes an answer (mean of those that are there)")


def _judges(plan: JudgingPlan) -> Iterator[str]:
    if plan.judges:
        yield f"{'':16}{'questions':>12}{'prompt tokens':>16}{'completion tokens':>19}{'cost':>16}{'time':>10}"
    for judge in plan.judges:
        repeats = "" if judge.repeats == 1 else f", {judge.repeats} judgements an answer"
        batch = ", in batches" if judge.batch else ""
        yield f"{judge.name} at {judge.host}{repeats}{batch}: {count(judge.made, 'judgement')} there"
        if judge.expected is not None and judge.expected != judge.at_most:
            yield _amount("  expected", judge.expected, judge)
        yield _amount("  at most", judge.at_most, judge)
        if judge.pairs is not None:
            yield _amount("  pairs, at most", judge.pairs, judge)
    for name in plan.here:
        yield f"{name}: on this machine, no requests"


def _amount(name: str, amount: Amount, judge: JudgePlan) -> str:
    cost = "no price" if amount.cost is None else f"{judge.currency} {amount.cost:,.2f}"
    return (
        f"{name:16}{amount.questions:>12,}{amount.prompt_tokens:>16,}{amount.completion_tokens:>19,}{cost:>16}"
        f"{time_text(amount.hours * 3600):>10}"
    )


def _served(name: str, requests: int, hours: float) -> str:
    return f"{name}: at most {count(requests, 'request')}, {time_text(hours * 3600)}"


def _basis(plan: JudgingPlan) -> Iterator[str]:
    for judge in plan.judges:
        lengths = judge.lengths
        if lengths.judgements:
            yield (
                f"{judge.name}: {lengths.bytes_per_token:.2f} bytes of UTF-8 a token and {lengths.verdict_bytes:,.0f} "
                f"bytes a verdict, measured on {count(lengths.judgements, 'judgement')} of it"
            )
        else:
            yield (
                f"{judge.name}: {BYTES_PER_TOKEN} bytes of UTF-8 a token (its tokenizer is not known), {REASON_BYTES} "
                "bytes for the reason of each grade: assumed; its rubric, the prompts and references are measured"
            )
    if plan.judges:
        expected = "; expected: as many are as so far" if any(judge.expected for judge in plan.judges) else ""
        yield (
            f"at most: no two answers to come are equal{expected}. Verdicts that are asked for a second time, and "
            "thoughts of a reasoning model, come on top; what a run has you agree to counts both"
        )
    if any(not judge.batch for judge in plan.judges) or plan.served:
        yield f"time: {LATENCY_S:g} s a request (assumed) at the recipe's concurrency, if the server keeps up"
    if any(judge.batch for judge in plan.judges):
        yield f"a batch takes at most {BATCH_HOURS:g} h, or what is left of it is asked again by the next run"
