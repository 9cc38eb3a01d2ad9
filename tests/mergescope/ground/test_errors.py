"""Errors are one line: where, what, value, cure."""

from mergescope.ground.errors import MergescopeError


def test_an_error_reads_where_what_value_cure() -> None:
    error = MergescopeError("out of range", where="a.yaml: merge.ratios", value=1.5, cure="it must be at most 1")
    assert error.line() == "a.yaml: merge.ratios: out of range (got 1.5); it must be at most 1"
    assert str(error) == error.line()


def test_hostile_values_stay_on_one_short_line() -> None:
    line = MergescopeError("bad", where="f\x1b[31m\u202e", value="x\n" * 500).line()
    assert line.isprintable()
    assert len(line) < 200
