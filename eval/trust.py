"""How far a study's judges can be trusted, as their calibrations left it in the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from eval.agreement import Agreement


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What one label file says of a judge, in short."""

    labels: str
    """Name of the file."""
    n: int
    """Labels."""
    trust: str
    """What these labels alone say."""
    kappa: Agreement
    """Of the judge with people, on refusals."""
    string_match: Agreement
    gain: Agreement
    """Kappa of the judge minus that of string match on the same answers."""

    @property
    def text(self) -> str:
        """`0.58 [0.52, 0.64], string match 0.73 [0.69, 0.77], n 450`."""
        return f"{self.kappa.text}, string match {self.string_match.text}, n {self.n}"


@dataclass(frozen=True, slots=True)
class JudgeTrust:
    """One judge of a study."""

    judge_id: str
    name: str
    trust: str
    """trusted, not trusted or not calibrated, by all label files."""
    calibrations: tuple[Calibrated, ...]
    """The newest by each label file that has labels of refusals."""


def judge_trusts(connection: DuckDBPyConnection, study_id: str) -> list[JudgeTrust]:
    """The study's judges in their order, without the scorer of choices."""
    judges = connection.execute(
        "SELECT judge_id, name, trust FROM study_judge JOIN judge USING (judge_id) "
        "WHERE study_id = ? AND kind <> 'classifier' ORDER BY position",
        [study_id],
    ).fetchall()
    return [JudgeTrust(judge, name, trust, tuple(calibrations(connection, judge))) for judge, name, trust in judges]


def calibrations(connection: DuckDBPyConnection, judge_id: str) -> list[Calibrated]:
    """The newest calibration of a judge by each label file, by its name; those without refusals are left out."""
    rows = connection.execute(
        "SELECT name, arg_max(n, made_at), arg_max(trust, made_at), arg_max(report, made_at) FROM calibration "
        "WHERE judge_id = ? GROUP BY name ORDER BY name",
        [judge_id],
    ).fetchall()
    found = [(name, n, trust, json.loads(report)["axes"][0]) for name, n, trust, report in rows]
    return [_calibrated(name, n, trust, axis) for name, n, trust, axis in found if axis["string_match"] is not None]


def _calibrated(name: str, n: int, trust: str, axis: dict[str, Any]) -> Calibrated:
    match = axis["string_match"]
    kappas = (Agreement(**values) for values in (axis["agreement"], match["kappa"], match["gain"]))
    return Calibrated(name, n, trust, *kappas)
