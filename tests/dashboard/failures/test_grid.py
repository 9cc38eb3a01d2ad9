from dashboard.failures.grid import columns, tallies
from dashboard.failures.kinds import FAULTS, Looked
from tests.dashboard.failures.invented import make_outcomes, make_prompts, merge, reference

CHECKPOINTS = [merge(0, 1), merge(1, 1), merge(0, 2), merge(1, 2), merge(0.5, 2), reference("base")]


def test_mask_seeds_of_a_ratio_share_a_column() -> None:
    shown = columns(CHECKPOINTS, None)
    assert [column.label for column in shown] == ["0", "0.5", "1", "base"]
    assert [[one.handle for one in column.members] for column in shown[:3]] == [
        ["0@1", "0@2"],
        ["0.5@2"],
        ["1@1", "1@2"],
    ]
    assert shown[0].nearest_seed(2).handle == "0@2"
    assert shown[1].nearest_seed(1).handle == "0.5@2"


def test_one_mask_seed_alone() -> None:
    assert [[one.handle for one in column.members] for column in columns(CHECKPOINTS, 1)] == [
        ["0@1"],
        ["1@1"],
        ["base"],
    ]


def test_counts_by_hand() -> None:
    """Two seeds: 1 of 2 and 2 of 2 in category a; 0 of 1 and 1 of 1 in b; one answer is unscored."""
    asked = make_prompts(["p", "q", "r"], [("a",), ("a",), ("b", "deep")])
    shown = columns([merge(0, 1), merge(0, 2)], None)
    found = {"0@1": make_outcomes("200"), "0@2": make_outcomes("21-")}
    made = tallies(Looked(FAULTS["over_refusal"]), asked, found, shown)
    assert [(tally.category, tally.failed, tally.among) for tally in made] == [("", 3, 5), ("a", 3, 4), ("b", 0, 1)]
    assert [(part.failed, part.among) for part in made[1].apart] == [(1, 2), (2, 2)]


def test_cells_without_an_answer_that_could_fail_are_left_out() -> None:
    asked = make_prompts(["p"], kind="harmful")
    made = tallies(Looked(FAULTS["over_refusal"]), asked, {"0@1": make_outcomes("2")}, columns([merge(0, 1)], None))
    assert made == []
