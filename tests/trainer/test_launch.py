"""accelerate launch: its file is read, several processes train one batch, and what fails in them is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import read_manifest
from mergescope.ground.progress import Reporter, Task
from trainer.config import DpoSection
from trainer.curve import read_curve
from trainer.launch import FOLLOWED, _environment, _failure, _watch, launch, read_launch
from trainer.logps import Continuation, LogpFile, answer_logps
from trainer.method import prepare
from trainer.stages import make_finetune
from trainer.triples import load_triples

TWO = "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_machines: 1\nnum_processes: 2\n"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "accelerate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "processes", "sharding", "engine"),
    [
        (TWO, 2, "none", "MULTI_GPU"),
        ("num_processes: 1\n", 1, "none", "NO"),
        ("num_processes: 8\ndistributed_type: FSDP\n", 8, "all", "FSDP"),
        (
            "num_processes: 8\ndistributed_type: FSDP\nfsdp_config: {fsdp_sharding_strategy: SHARD_GRAD_OP}\n",
            8,
            "gradients",
            "FSDP",
        ),
        (
            "num_processes: 8\ndistributed_type: FSDP\nfsdp_config: {fsdp_reshard_after_forward: false}\n",
            8,
            "gradients",
            "FSDP",
        ),
        ("num_processes: 8\ndistributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}\n", 8, "all", "DeepSpeed"),
        (
            "num_processes: 8\ndistributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 1}\n",
            8,
            "optimizer",
            "DeepSpeed",
        ),
    ],
)
def test_a_file_of_accelerate_says_how_the_model_is_shared(
    tmp_path: Path, text: str, processes: int, sharding: str, engine: str
) -> None:
    launch = read_launch(written(tmp_path, text))
    assert (launch.processes, launch.sharding, launch.engine) == (processes, sharding, engine)
    command = launch.command(tmp_path / "work")
    assert command[:4] == ["accelerate", "launch", "--config_file", str(launch.file)]
    assert command[-3:] == ["-m", "trainer.worker", str(tmp_path / "work")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "not readable as YAML"),
        ("- a", "names no num_processes"),
        ("num_processes: two", "names no num_processes"),
        ("num_processes: 0", "names no num_processes"),
        ("num_processes: 2\ndistributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 9}", "not known here.*'9'"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        read_launch(written(tmp_path, text))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file of accelerate config; write one with"):
        read_launch(tmp_path / "none.yaml")


def test_nothing_starts_where_processes_cannot_share_a_batch(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    section = tuning.model_copy(update={"batch_size": 4, "micro_batch_size": 4})
    with pytest.raises(RecipeError, match="2 devices with 4 triples each"):
        make_finetune(
            tmp_path / "safe", "safe", section, base, [triples_file], [], 1, Reporter(), written(tmp_path, TWO)
        )
    assert not (tmp_path / "logps").exists()


def test_the_base_is_asked_for_what_one_process_computes_at_a_time(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one GPU holds of a batch that eight share is an eighth of it, also before the training."""
    asked: list[int] = []

    def counted(model: Any, some: Sequence[Continuation], **options: Any) -> Any:
        asked.append(len(some))
        return answer_logps(model, some, **options)

    monkeypatch.setattr("trainer.logps.answer_logps", counted)
    known = LogpFile(tmp_path / "logps.jsonl")
    section = tuning.model_copy(update={"batch_size": 8, "micro_batch_size": None})
    prepare(section, base, load_triples(triples_file), known, Reporter(), processes=4)
    assert asked == [4] * 4


def test_a_lone_process_writes_its_model_whatever_place_a_cluster_gave_it(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = tuning.model_copy(update={"steps": 2})
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    folder = make_finetune(tmp_path / "safe", "safe", section, base, [triples_file], [], 1, Reporter())
    assert (folder / "model.safetensors").is_file()
    assert os.environ["WORLD_SIZE"] == "4"


def test_launched_processes_get_their_places_from_accelerate_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_SIZE"):
        monkeypatch.setenv(name, "1")
    environment = _environment()
    assert not {"RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_SIZE"} & environment.keys()
    assert environment["PATH"] == os.environ["PATH"]


def test_a_process_that_others_start_does_not_mind_a_closed_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm gives such a one to what it starts on each machine. There is no job here, which is what it should say."""
    command = [sys.executable, "-m", "trainer.worker", str(tmp_path)]
    monkeypatch.delenv(FOLLOWED, raising=False)
    told = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert b"job.json: no such file" in told.stderr


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("To enable traceback see: https://pytorch.org", "accelerate launch failed: ValueError: no"),
        ("Signal 9 (SIGKILL) received by PID 7", "ended from outside by SIGKILL"),
    ],
)
def test_the_process_that_failed_first_says_why(tmp_path: Path, first: str, told: str) -> None:
    """The launcher ends the others by a signal, which is no reason."""
    other = "Failures:\n[0]:\n  traceback : Signal 15 (SIGTERM) received by PID 6\n"
    root = f"Root Cause (first observed failure):\n[1]:\n  traceback : {first}\n"
    (tmp_path / "launch.log").write_text(f"ValueError: no\n{other}{root}", encoding="utf-8")
    assert told in _failure(1, tmp_path).line()


@pytest.mark.deep
def test_a_killed_process_is_told_by_its_signal(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_one(process: subprocess.Popen[bytes], task: Task, work: Path) -> None:
        monkeypatch.setattr("trainer.launch._watch", watch)
        while not read_curve(work):
            assert process.poll() is None
            time.sleep(0.1)
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        os.kill(int(listed.split()[0]), signal.SIGKILL)
        watch(process, task, work)

    watch = _watch
    monkeypatch.setattr("trainer.launch._watch", kill_one)
    section = tuning.model_copy(update={"steps": 10_000})
    with pytest.raises(MergescopeError, match=r"ended from outside by SIGKILL; if memory ran out") as failed:
        file = written(tmp_path, TWO)
        make_finetune(tmp_path / "safe", "safe", section, base, [triples_file], [], 1, Reporter(), file)
    assert failed.value.where == tmp_path / "training" / "safe" / "launch.log"


@pytest.mark.deep
def test_two_processes_take_the_steps_of_one(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    """On the CPU over gloo: the same batches, the same number of steps, and losses equal but for the sums' order.

    The file's own precision says nothing: `accelerate config` asks for one, and the recipe has said it.
    """
    section = tuning.model_copy(update={"steps": 6, "batch_size": 4, "micro_batch_size": 1, "save_every": 4})
    one = make_finetune(tmp_path / "one" / "safe", "safe", section, base, [triples_file], [], 1, Reporter())
    file = written(tmp_path, TWO + "mixed_precision: bf16\n")
    two = make_finetune(tmp_path / "two" / "safe", "safe", section, base, [triples_file], [], 1, Reporter(), file)
    alone, shared = read_manifest(one), read_manifest(two)
    assert alone is not None
    assert shared is not None
    assert shared["processes"] == 2
    assert len(shared["steps"]) == len(alone["steps"]) == 6
    assert [s["loss"] for s in shared["steps"]] == pytest.approx([s["loss"] for s in alone["steps"]], abs=2e-5)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert not (tmp_path / "two" / "training").exists()


@pytest.mark.deep
def test_what_fails_in_a_process_is_one_line(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    file = written(tmp_path, TWO)
    section = tuning.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(MergescopeError, match=r"step \d+: .* is no number any more.*lower learning_rate"):
        make_finetune(tmp_path / "a" / "safe", "safe", section, base, [triples_file], [], 1, Reporter(), file)
    empty = tmp_path / "empty"  # no job in it: a bug of ours, as far as the process can tell
    empty.mkdir()
    with pytest.raises(MergescopeError, match=r"accelerate launch failed: .*Error: .*job.json: no such file") as failed:
        launch(read_launch(file), empty, "DPO", 1, Reporter())
    assert "\n" not in failed.value.line()
    assert failed.value.where == empty / "launch.log"
