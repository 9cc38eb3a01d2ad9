"""Before texts leave this machine for a host for the first time, the user is told and asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from eval.chat.place import leaves_machine
from mergescope.ground.errors import MergescopeError, printable
from mergescope.hosts import agreed_on, hosts_of, remember
from mergescope.judging_plan import judging_plan
from mergescope.judging_plan_records import HostPlan
from mergescope.study import Study

Ask = Callable[[str], bool]
"""Whether the user says yes to a host."""


def ask_about_hosts(study: Study, told: Mapping[str, str], *, yes: bool, ask: Ask | None = None) -> None:
    """Tell of each host that this study sends texts to for the first time, and have the user agree.

    What was agreed to is kept in the study's folder. told: what is sent, by host. yes: the user has agreed beforehand.
    ask: how to ask; None: on the terminal. Raises MergescopeError where the user says no, or where there is no terminal
    to ask on.
    """
    for host, words in told.items():
        if leaves_machine(host) and agreed_on(study, host) is None:
            agree(study, host, words, yes=yes, ask=ask)


def host_texts(study: Study, store: Path, only: Sequence[str]) -> dict[str, str]:
    """What an evaluation sends to each host; nothing is worked out where all are agreed to. only: names; none: all."""
    if all(not leaves_machine(host) or agreed_on(study, host) for host in hosts_of(study, only)):
        return {}
    return {host.host: host_text(host) for host in judging_plan(study, store, only).hosts}


def agree(study: Study, host: str, told: str, *, yes: bool, ask: Ask | None = None) -> None:
    """Have the user agree to send texts to one host, and keep it. told: what is sent; the rest: as above."""
    print(printable(told), file=sys.stderr)
    if not yes and not (ask or _on_terminal)(host):
        cure = "take what sends them there out of the recipe, or name what else to evaluate or calibrate"
        raise MergescopeError("nothing was sent", where=host, cure=cure)
    remember(study, host, told=told)


def host_text(host: HostPlan) -> str:
    """What is sent to a host, how often and for how much, in words."""
    if host.requests is None:
        return f"prompts and answers, harmful ones too, go to {host.host}: how many is known once the prompts are made"
    priced = [f"{currency} {cost:,.2f}" for currency, cost in host.cost.items()]
    unpriced = [f"no price is given for {', '.join(host.unpriced)}"] if host.unpriced else []
    costs = "; ".join([f"about {' and '.join(priced)}"] * bool(priced) + unpriced)
    number = f"at most {host.requests:,} {'request' if host.requests == 1 else 'requests'}"
    return f"prompts and answers, harmful ones too, go to {host.host}: {number}, {costs}"


def host_line(host: HostPlan) -> str:
    """A host, and whether texts may go there."""
    if not host.leaves:
        return f"{host.host}, which is this machine"
    return f"{host.host}, agreed to on {host.agreed}" if host.agreed else f"{host.host}; a run asks you first, or --yes"


def _on_terminal(host: str) -> bool:
    import typer

    if not sys.stdin.isatty():
        what = "not agreed to yet, and there is no terminal to ask on"
        raise MergescopeError(what, where=host, cure="add --yes to agree")
    return bool(typer.confirm(f"Send them to {host}?", default=False, err=True))
