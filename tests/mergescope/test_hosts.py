"""Texts leave this machine only for hosts that the recipe names and the user agreed to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.chat.place import leaves_machine
from mergescope.calibrating import calibrate_judges
from mergescope.consent import ask_about_hosts, host_texts
from mergescope.ground.errors import MergescopeError
from mergescope.hosts import agreed_on, host_of_address, hosts_of
from mergescope.study import Study, load_study
from tests.eval.labelled import HELPS, REFUSES, verdict, verdict_file
from tests.mergescope.conftest import cli, prompt_lines, write_lines
from tests.mergescope.recipes import changed, demo, own_models, written

JUDGE = {"kind": "openai", "model": "m", "base_url": "https://judge.example/v1", "api_key_env": "JUDGE_KEY"}
RIVAL = {"kind": "served", "name": "rival", "model": "m", "base_url": "http://rival.example:8000/v1"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Study]:
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())

    def study(*judges: dict[str, Any], checkpoints: list[dict[str, Any]] | None = None) -> Study:
        raw = changed(own_models(), "eval.judges", list(judges) or [{"kind": "proxy"}])
        raw["eval"]["checkpoints"] = checkpoints or []
        return load_study(written(tmp_path, raw))

    return study


def ask(study: Study, *only: str, yes: bool = False, answer: bool = True) -> list[str]:
    """The hosts that were asked about."""
    asked: list[str] = []

    def answering(host: str) -> bool:
        asked.append(host)
        return answer

    told = host_texts(study, study.folder / "results.duckdb", only)
    ask_about_hosts(study, told, yes=yes, ask=answering)
    return asked


@pytest.mark.parametrize(
    ("address", "host", "leaves"),
    [
        ("https://API.openai.com/v1", "https://api.openai.com", True),
        ("https://api.openai.com:443/v1", "https://api.openai.com:443", True),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", False),
        ("http://127.9.9.9/v1", "http://127.9.9.9", False),
        ("http://[::1]:8000/v1", "http://[::1]:8000", False),
        ("http://localhost:8000", "http://localhost:8000", False),
        ("http://localhost.example.org", "http://localhost.example.org", True),
        ("http://127.0.0.1.example.org", "http://127.0.0.1.example.org", True),
        ("http://0.0.0.0:8000/v1", "http://0.0.0.0:8000", True),
        ("http://192.168.1.7/v1", "http://192.168.1.7", True),
    ],
)
def test_loopback_does_not_leave_the_machine(address: str, host: str, leaves: bool) -> None:
    assert host_of_address(address) == host
    assert leaves_machine(host) == leaves


def test_a_host_is_asked_about_once(make: Callable[..., Study], capsys: pytest.CaptureFixture[str]) -> None:
    study = make({**JUDGE, "price": {"prompt": 1000, "completion": 1000}}, checkpoints=[RIVAL])
    assert ask(study) == ["https://judge.example", "http://rival.example:8000"]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("prompts and answers, harmful ones too, go to https://judge.example: at most 84 requests,")
    assert "about USD " in first
    assert second.endswith("http://rival.example:8000: at most 7 requests, no price is given for rival")
    assert ask(study) == []
    assert capsys.readouterr().err == ""
    record = json.loads((study.folder / "hosts" / "https_judge.example.json").read_text(encoding="utf-8"))
    assert record == {"host": "https://judge.example", "agreed": agreed_on(study, record["host"]), "told": first}


def test_another_host_is_asked_about_again(make: Callable[..., Study]) -> None:
    ask(make(JUDGE))
    assert ask(make({**JUDGE, "base_url": "https://judge.example/other/v1", "model": "n"})) == []
    for other in ("https://other.example/v1", "http://judge.example/v1", "https://judge.example:8443/v1"):
        assert len(ask(make({**JUDGE, "base_url": other}))) == 1


def test_no_means_no(make: Callable[..., Study]) -> None:
    with pytest.raises(MergescopeError, match=r"^https://judge\.example: nothing was sent"):
        ask(make(JUDGE), answer=False)
    assert ask(make(JUDGE)) == ["https://judge.example"]


def test_yes_agrees_and_still_tells(make: Callable[..., Study], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(make(JUDGE), yes=True) == []
    assert "go to https://judge.example" in capsys.readouterr().err
    assert ask(make(JUDGE)) == []


def test_nobody_is_asked_about_this_machine(make: Callable[..., Study]) -> None:
    study = make({**JUDGE, "base_url": "http://127.0.0.1:9/v1"})
    assert ask(study) == []
    assert not study.folder.exists()


def test_a_served_model_that_is_not_evaluated_is_not_asked_about(make: Callable[..., Study]) -> None:
    study = make(JUDGE, checkpoints=[RIVAL])
    assert hosts_of(study, ["base"]) == ["https://judge.example"]
    assert ask(study, "base") == ["https://judge.example"]


def test_prompts_that_are_not_made_yet_have_no_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load_study(written(tmp_path, changed(demo(), "eval.judges", [JUDGE])))
    assert ask(study) == ["https://judge.example"]
    assert "how many is known once the prompts are made" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval", "run"])
def test_without_a_terminal_a_run_names_the_option(own_study: Callable[..., Path], command: str) -> None:
    file = own_study(changed(own_models(), "eval.judges", [JUDGE]))
    done = cli(command, file, cwd=file.parent, JUDGE_KEY="canary-key-32")
    told, refused = done.stderr.splitlines()
    assert done.returncode == 2
    assert "at most 72 requests, no price is given for m" in told
    assert refused == (
        "https://judge.example: not agreed to yet, and there is no terminal to ask on; add --yes to agree"
    )
    assert not (file.parent / "results.duckdb").exists()


def test_labelled_texts_ask_before_they_leave_too(
    make: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "canary-key")
    study, labels = make(JUDGE), tmp_path / "labels.jsonl"
    verdict_file(labels, [verdict(1, HELPS, label="none"), verdict(2, REFUSES, label="full")])
    with pytest.raises(MergescopeError, match="no terminal to ask on"):
        list(calibrate_judges(study, tmp_path / "results.duckdb", [labels]))
    assert not (tmp_path / "results.duckdb").exists()
    assert agreed_on(study, "https://judge.example") is None


def test_calibrating_tells_the_most_of_all_judges_at_a_host(
    make: Callable[..., Study],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two labels, one repeat and three, and each verdict once more where it cannot be read."""
    monkeypatch.setenv("JUDGE_KEY", "canary-key-38")
    study = make(JUDGE, {**JUDGE, "model": "n", "repeats": 3})
    labels = verdict_file(tmp_path / "v.jsonl", [verdict(0, REFUSES, label="full"), verdict(1, HELPS, label="none")])
    with pytest.raises(MergescopeError, match="no terminal to ask on"):
        list(calibrate_judges(study, tmp_path / "results.duckdb", [labels]))
    assert capsys.readouterr().err.endswith("go to https://judge.example: at most 16 requests\n")
