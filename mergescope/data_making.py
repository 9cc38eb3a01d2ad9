"""`mergescope data make`: checks, asks about hosts, makes what is missing, and says what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from eval.chat.budget import Budget
from mergescope.consent import Ask, agree, host_text
from mergescope.data_making_plan import data_plan, data_plan_lines
from mergescope.data_order import DataOrder
from mergescope.ground.errors import printable
from mergescope.ground.progress import PROGRESS, Reporter
from mergescope.lock import locked
from mergescope.plan_layout import count
from mergescope.retention import open_study
from mergescope.spending import BudgetLimit, servers_budget
from trainer.quarantine import Quarantine
from trainer.quarantine_lock import in_use
from trainer.synthesis.making import Making, Tally
from trainer.synthesis.servers import open_servers
from trainer.synthesis.usable import PASSING


def show_data_plan(file: Path) -> Iterator[str]:
    """What making a recipe's data takes, line by line."""
    plan = data_plan(DataOrder.of(open_study(file)))
    yield from map(printable, data_plan_lines(plan))  # model names are the recipe's words


def make_data(file: Path, limit: BudgetLimit | None, *, yes: bool, ask: Ask | None = None) -> Iterator[str]:
    """Make what a recipe's data lack; yields what came of each kind of work, line by line.

    limit: of what all servers may spend together. yes: texts may go to every host of the recipe without a question.
    ask: how to ask; None: on the terminal. Raises the MergescopeError family for whatever the user can mend, a budget
    that is reached included.
    """
    order = DataOrder.of(open_study(file))
    study = order.study
    servers = [one for one in (order.make.writer, order.make.second, order.judge) if one is not None]
    budget = servers_budget(servers, limit)
    for host in data_plan(order).hosts:
        if host.leaves and host.agreed is None:
            agree(study, host.host, host_text(host), yes=yes, ask=ask)
    with locked(study.folder), in_use(Quarantine(study.folder)):
        yield from _made(order, budget)


def _made(order: DataOrder, budget: Budget | None) -> Iterator[str]:
    folder, quarantine = order.study.folder, Quarantine(order.study.folder)
    reporter = Reporter(sys.stderr, folder / PROGRESS)
    reporter.stage("data")
    servers = open_servers(order.make, order.judge, folder, quarantine, budget)
    making = Making(folder, order.make, order.material, order.categories, servers, quarantine, reporter, order.kept_out)
    unpaid = 0
    for tally in making.run():
        unpaid += tally.faults["budget"]
        yield from _lines(tally)
    if (waiting := order.asked().waiting) and not order.make.unchecked:
        yield f"{count(waiting, 'drafted question')} wait in {making.drafts.path}"
        yield "  read them, correct what is wrong, and set each `status` to approved or dropped"
    if budget is not None and budget.refused is not None:
        raise budget.reached(f"left: {unpaid:,}")


def _lines(tally: Tally) -> Iterator[str]:
    thing = "text" if tally.name == "questions" else "question"
    made = f"{tally.made:,} made now, {tally.there:,} before"
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(tally.faults.items()))
    yield f"{tally.name}: {count(tally.wanted, thing)}, {made}" + (f"; not made: {kinds}" if kinds else "")
    passing = sum(number for kind, number in tally.faults.items() if kind in PASSING)
    if passing:
        yield f"  {passing:,} of them may pass another time: run this again"
