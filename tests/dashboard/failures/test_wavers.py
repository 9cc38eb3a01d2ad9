from dashboard.failures.grid import columns
from dashboard.failures.kinds import FAULTS, Looked
from dashboard.failures.wavers import wavers
from tests.dashboard.failures.invented import make_outcomes, make_prompts, merge, reference

LOOKED = Looked(FAULTS["over_refusal"])


def test_prompts_that_go_to_and_fro() -> None:
    """Along four ratios: 0 2 0 2, 0 0 2 2 (a frontier), 0 1 - 0; a reference has no say."""
    asked = make_prompts(["p", "q", "r"])
    shown = columns([merge(0), merge(0.25), merge(0.5), merge(1), reference("base")], None)
    rows = {"0@1": "000", "0.25@1": "201", "0.5@1": "02-", "1@1": "220", "base": "222"}
    found = wavers(LOOKED, asked, {name: make_outcomes(row) for name, row in rows.items()}, shown)
    assert [(one.item, one.changes, one.states) for one in found] == [(0, 2, (0, 1, 0, 1)), (2, 1, (0, 1, -1, 0))]


def test_it_turns_where_the_verdict_changes_first_and_second() -> None:
    asked = make_prompts(["p"])
    shown = columns([merge(ratio / 4) for ratio in range(5)], None)
    states = ["0", "2", "2", "-", "0"]
    found = wavers(LOOKED, asked, {f"{r / 4:g}@1": make_outcomes(s) for r, s in enumerate(states)}, shown)
    assert found[0].turns() == [0, 1, 2, 4]


def test_mask_seeds_of_a_ratio_vote_together() -> None:
    asked = make_prompts(["p"])
    points = [merge(0), merge(0.5, 1), merge(0.5, 2), merge(0.5, 3), merge(1)]
    rows = {"0@1": "0", "0.5@1": "2", "0.5@2": "2", "0.5@3": "0", "1@1": "0"}
    shown = columns(points, None)
    [found] = wavers(LOOKED, asked, {name: make_outcomes(row) for name, row in rows.items()}, shown)
    assert found.states == (0, 1, 0)
    assert not wavers(LOOKED, asked, {name: make_outcomes(row) for name, row in rows.items()}, columns(points, 3))
