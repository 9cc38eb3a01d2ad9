"""What is said of a check."""

from __future__ import annotations

from merge.verify import VerifyReport
from mergescope.verifying import told


def test_equal_tensors_do_not_hide_an_edited_file() -> None:
    assert list(told(VerifyReport(9, (), ()))) == ["all 9 tensors are equal in every bit"]
    (cause, last) = told(VerifyReport(9, (), ("README.md is not as it was exported",), edited=("README.md",)))
    assert cause.startswith("README.md")
    assert last == "all 9 tensors are equal in every bit; but a file was edited: not the bundle that was exported"


def test_nothing_is_called_equal_that_was_not_compared() -> None:
    report = VerifyReport(9, (), ("inputs/safe/model.safetensors is not the file",), changed=("x",))
    assert not any("equal" in line for line in told(report))
    assert "nothing was merged" in list(told(report))[-1]


def test_an_own_checkpoint_is_told_apart() -> None:
    assert list(told(VerifyReport(9, (), (), checkpoint=True))) == [
        "all 9 tensors are equal in every bit, and so is checkpoint/"
    ]
    damaged = list(told(VerifyReport(9, (), (), damaged=("a",), checkpoint=True)))
    assert damaged == [
        "checkpoint/: 1 of 9 tensors differ (a) from the manifest's: edited or damaged",
        "all 9 tensors are equal in every bit",
    ]
