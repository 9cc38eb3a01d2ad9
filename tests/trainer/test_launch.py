"""accelerate launch: its file is read, several processes train one batch, and what fails in them is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import read_manifest
from mergescope.ground.progress import Reporter
from trainer.config import DpoSection
from trainer.launch import launch, read_launch
from trainer.stages import make_finetune

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


@pytest.mark.deep
def test_two_processes_take_the_steps_of_one(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    """On the CPU over gloo: the same batches, the same number of steps, and losses equal but for the sums' order."""
    section = tuning.model_copy(update={"steps": 6, "batch_size": 4, "micro_batch_size": 1, "save_every": 4})
    one = make_finetune(tmp_path / "one" / "safe", "safe", section, base, [triples_file], [], 1, Reporter())
    file = written(tmp_path, TWO)
    two = make_finetune(tmp_path / "two" / "safe", "safe", section, base, [triples_file], [], 1, Reporter(), file)
    alone, shared = read_manifest(one), read_manifest(two)
    assert alone is not None
    assert shared is not None
    assert shared["processes"] == 2
    assert len(shared["steps"]) == len(alone["steps"]) == 6
    assert [s["loss"] for s in shared["steps"]] == pytest.approx([s["loss"] for s in alone["steps"]], rel=0.05)
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
