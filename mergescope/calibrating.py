"""`mergescope judge calibrate`: a study's judges against people's labels."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.backlog import made_judgements
from eval.calibrating import ask, calibrate, questions_about
from eval.calibration import AxisReport, Report
from eval.chat.place import leaves_machine
from eval.config import OpenAIJudge
from eval.judge import Judge, judge_id_of
from eval.judges.rubric import READINGS
from eval.labels import CLASSES, Labels, read_labels
from mergescope.consent import agree
from mergescope.ground.errors import MergescopeError, printable
from mergescope.ground.progress import PROGRESS, Reporter
from mergescope.hosts import agreed_on, host_of_address
from mergescope.inputs import check_store, open_judges
from mergescope.lock import locked
from mergescope.spending import BudgetLimit, judging_servers, servers_budget
from mergescope.study import Study


def calibrate_judges(
    study: Study,
    store: Path,
    files: Sequence[Path],
    name: str | None = None,
    limit: BudgetLimit | None = None,
    *,
    yes: bool = False,
) -> Iterator[str]:
    """Ask the study's judges about labelled answers and say, line by line, how they agree with people.

    name: of the judge; None: all of the recipe's. Only judgements that the store lacks are made. limit: of what the
    judges may spend; one that reached it is not calibrated. yes: the user agrees beforehand that the labelled texts go
    to the judges' hosts. Raises DataError for the label files, MergescopeError for an unknown judge, a host not agreed
    to, a running study, a budget reached, and what a judge raises.
    """
    labels = read_labels(files)
    budget = servers_budget(judging_servers(study.recipe.eval.judges), limit)
    judges = _named(open_judges(study, budget), name)
    check_store(store)
    _ask_about_hosts(study, [judge.name for judge in judges], labels, yes=yes)
    with locked(study.folder):
        reporter = Reporter(sys.stderr, study.folder / PROGRESS)
        reporter.stage("calibrate")
        for judge in judges:
            asked = questions_about(labels.rows, judge)
            with reporter.task(judge.name, len(asked), "judgements") as task:
                ask(store, judge, asked, task)
            if budget is not None and budget.refused is not None:
                left = len(asked) - len(asked.keys() & made_judgements(store, judge_id_of(judge)))
                raise budget.reached(f"judgements left of {printable(judge.name)}: {left:,}")
            found, trust = calibrate(store, judge, labels, study.recipe.seed)
            yield from _lines(judge, labels, found, trust)


def _named(judges: Sequence[Judge], name: str | None) -> list[Judge]:
    found = [judge for judge in judges if name in (None, judge.name)]
    if not found:
        cure = f"use one of {', '.join(dict.fromkeys(judge.name for judge in judges))}"
        raise MergescopeError("no such judge in the recipe", where="--judge", value=name, cure=cure)
    return found


def _ask_about_hosts(study: Study, names: Sequence[str], labels: Labels, *, yes: bool) -> None:
    most: Counter[str] = Counter()
    for section in study.recipe.eval.judges:
        if isinstance(section, OpenAIJudge) and section.model in names:
            most[host_of_address(str(section.base_url))] += len(labels.rows) * section.repeats * READINGS
    for host, requests in most.items():
        if leaves_machine(host) and agreed_on(study, host) is None:
            number = f"at most {requests:,} requests"
            agree(study, host, f"labelled prompts and answers, harmful ones too, go to {host}: {number}", yes=yes)


def _lines(judge: Judge, labels: Labels, found: Report, trust: str) -> Iterator[str]:
    yield f"{printable(judge.name)} on {printable(labels.name)}: {len(labels.rows)} labels, {found.prompts} prompts"
    if found.seen_judge:
        yield f"  left out: {found.seen_judge} verdicts given after seeing a judge's"
    if found.weighted:
        yield "  weighted by one over the probability with which an answer was picked"
    for axis in found.axes:
        yield from (f"  {line}" for line in _axis(axis))
    yield f"  {found.trust}: {found.why}"
    if trust != found.trust:
        yield f"  by all label files: {trust}"


def _axis(axis: AxisReport) -> Iterator[str]:
    yield f"{axis.axis}: {axis.measure} {axis.agreement.text}, n {axis.agreement.n}{_gaps(axis)}"
    yield f"  people among each other: {axis.people_measure} {axis.people.text}, n {axis.people.n}"
    match = axis.string_match
    if match is not None and axis.any_refusal_f1 is not None and axis.confusion is not None:
        yield f"  string match: kappa {match.kappa.text}; the judge is above by {match.gain.text}"
        if axis.unscored:
            yield f"  with unscored answers taken for their opposite above by {match.gain_at_worst.text}"
        yield f"  any refusal: F1 {axis.any_refusal_f1.text}; string match {match.any_refusal_f1.text}"
        yield f"  {'label / judge':<14}{''.join(f'{name:>9}' for name in CLASSES)}  recall"
        for row, name, rate in zip(axis.confusion, CLASSES, axis.recall, strict=True):
            yield f"  {name:<14}{''.join(f'{count:>9.6g}' for count in row)}  {rate.text}"
        rates = (f"{name} {rate.text}" for name, rate in zip(CLASSES, axis.precision, strict=True))
        yield f"  precision: {', '.join(rates)}"


def _gaps(axis: AxisReport) -> str:
    unscored = ", ".join(f"{kind} {count}" for kind, count in sorted(axis.unscored.items()))
    told = f"; unscored {unscored}" if unscored else ""
    return f"{told}; no opinion on {axis.no_opinion}" if axis.no_opinion else told
