"""Bundles that strangers made: each odd one is refused in one line, and none brings the reader down."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from merge.bundle import BundleInputs, write_bundle
from merge.bundle_reader import MOST_TENSORS, read_bundle
from merge.bundle_zip import MOST_ENTRIES, unpack_bundle
from merge.identity import merge_id
from mergescope.ground.errors import MergescopeError
from tests.merge.conftest import DEMO_POINT, a_story

ODD: tuple[Any, ...] = (None, [], ["x"], {}, {"x": 1}, "x", "../../etc", "a\x1b[31m\u202e", 10**400, -1, 1.5, True)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of plain JSON, one of each kind of tensor alone."""
    yield place
    if isinstance(value, dict):
        for key, entry in list(value.items())[:3] if place in (("tensors",), ("masks", "scales")) else value.items():
            yield from places(entry, (*place, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from places(entry, (*place, number))


def value_at(raw: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        raw = raw[step]
    return raw


def replaced(raw: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(raw)
    node = changed
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return changed


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


@pytest.fixture
def made(written: Path, inputs: BundleInputs, tmp_path: Path) -> Path:
    """A copy of one bundle with its checkpoint."""
    if not (written / "b").exists():
        write_bundle(written / "b", DEMO_POINT, inputs, a_story(), write_weights=True)
    shutil.copytree(written / "b", tmp_path / "b")
    return tmp_path / "b"


def attempt(folder: Path) -> str | None:
    """The refusal's line; None where the bundle is read. Whatever else is raised fails the test."""
    try:
        read_bundle(folder)
    except MergescopeError as error:
        return error.line()
    return None


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(MergescopeError) as caught:
        read()
    assert caught.value.line().isprintable()
    return caught.value.line()


def test_a_bundle_is_read(made: Path) -> None:
    bundle = read_bundle(made)
    assert bundle.point == DEMO_POINT
    assert bundle.roles == ("base", "safe", "useful")
    assert bundle.edited_files() == []
    assert bundle.checkpoint == made / "checkpoint"


@pytest.mark.deep
def test_no_field_of_a_manifest_brings_the_reader_down(made: Path) -> None:
    file = made / "manifest.json"
    raw = json.loads(file.read_text())
    taken: list[tuple[tuple[Any, ...], Any]] = []
    for place in places(raw):
        for odd in ODD:
            if json.dumps(odd) == json.dumps(value_at(raw, place)):
                continue
            file.write_text(json.dumps(replaced(raw, place, odd)))
            line = attempt(made)
            assert line is None or line.isprintable()
            if line is None:
                taken.append((place, odd))
    surprising = [(place, odd) for place, odd in taken if not _is_as_good(place, odd)]
    assert surprising == []
    assert any(place[0] == "choice" for place, _ in taken)  # the loop itself still takes something


def _is_as_good(place: tuple[Any, ...], odd: Any) -> bool:
    """Whether another value is one that some true bundle has at this place."""
    match place:
        case ("choice" | "gates" | "not_compared" | "provenance", *_):
            return True  # in the caller's own words
        case ("inputs", _, "hub") | ("masks",):
            return odd is None
        case ("masks", "scales", *_):
            return odd in (1.5, {})
        case ("tensors", _, "shape"):
            return odd == []
        case ("versions", name):
            return odd == "x" and name not in ("mergekit", "torch")
    return False


def test_a_manifest_hashes_the_bundles_own_files_and_no_other(made: Path) -> None:
    file = made / "manifest.json"
    raw = json.loads(file.read_text())
    files = raw["files"]
    for odd in ({**files, "notes.txt": "0" * 64}, {name: files[name] for name in files if name != "scores.json"}):
        file.write_text(json.dumps({**raw, "files": odd}))
        assert "a file has no hash" in refusal(lambda: read_bundle(made))


def test_a_field_that_is_missing_or_too_many_is_named(made: Path) -> None:
    file = made / "manifest.json"
    raw = json.loads(file.read_text())
    for name in raw:
        file.write_text(json.dumps({key: value for key, value in raw.items() if key != name}))
        assert name in refusal(lambda: read_bundle(made))
    file.write_text(json.dumps({**raw, "exec": "x"}))
    assert "exec" in refusal(lambda: read_bundle(made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "NaN",
        '{"format": NaN}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        '{"format": 1e999}',
    ],
)
def test_a_manifest_that_is_no_json_object(made: Path, text: str) -> None:
    (made / "manifest.json").write_text(text)
    refusal(lambda: read_bundle(made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "x",
        "a: &a [1]\nb: *a",
        "a: !!python/object/apply:os.system [true]",
        "[" * 5000,
        "a: 2020-01-01",
        "a: !!binary aGk=",
        "a: .nan",
        "a: 1" + "0" * 400,
        "a: " + "9" * 5000,
        "a: 0x" + "F" * 6000,
        "? 0x" + "F" * 6000 + "\n: 1",
        "? 2020-01-01\n: 1",
        "? [1]\n: 2",
        "\x00",
    ],
)
def test_a_config_that_is_no_plain_mapping(made: Path, text: str) -> None:
    (made / "mergekit.yaml").write_text(text)
    refusal(lambda: read_bundle(made))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(random_seed=3), "random_seed is missing"),
        (lambda c: c["models"][0].update(revision="x"), "models.0.revision"),
        (lambda c: c["models"][0]["parameters"].update(weight=0.31), "models.0.parameters.weight is 0.31 here, 0.3"),
        (lambda c: c["models"][0]["parameters"].update(density="banana"), "models.0.parameters.density is 'banana'"),
        (lambda c: c["models"][0].update(model="/etc/models/other"), "models.0.model is '/etc/models/other' here"),
        (lambda c: c["models"][0].update(model=["x"]), "models.0.model is missing"),
        (lambda c: c["models"].reverse(), "models.0.model"),
        (lambda c: c.update(models={"model": 1}), "models.0.model is missing"),
        (lambda c: c.update({"parameters.lambda": 1}), "parameters.lambda is 1 here"),
        (lambda c: c.update(parameters="x"), "parameters"),
        (lambda c: c.update(merge_method="sce"), "merge_method is 'sce' here, 'dare_ties'"),
        (lambda c: c.update(out_dtype="float99"), "out_dtype is 'float99' here, 'float32'"),
        (lambda c: c.pop("base_model"), "base_model is missing"),
        (lambda c: c.update({3: 4}), "3 is 4 here"),
        (lambda c: c.update(chat_template=[]), "chat_template is no text"),
    ],
)
def test_a_config_of_another_merge_than_the_manifests(
    made: Path, change: Callable[[dict[Any, Any]], object], said: str
) -> None:
    config = yaml.safe_load((made / "mergekit.yaml").read_text())
    change(config)
    (made / "mergekit.yaml").write_text(yaml.safe_dump(config))
    line = refusal(lambda: read_bundle(made))
    assert "mergekit.yaml" in line
    assert said.partition(" is missing")[0] in line
    assert "; fetch the bundle anew" in line


def test_a_ratio_that_the_config_does_not_have(made: Path) -> None:
    raw = json.loads((made / "manifest.json").read_text())
    point = replace(DEMO_POINT, ratio=Decimal("0.9"))
    raw |= {"point": {**raw["point"], "ratio": "0.9"}, "point_id": point.point_id}
    (made / "manifest.json").write_text(json.dumps(raw))
    assert "merge_id is not that of its point" in refusal(lambda: read_bundle(made))
    ids = {role: entry["checkpoint_id"] for role, entry in raw["inputs"].items()}
    how = {"threads": raw["threads"], "level": raw["kernel_level"], "out_dtype": raw["out_dtype"]}
    raw["merge_id"] = merge_id(point, ids, **how)
    (made / "manifest.json").write_text(json.dumps(raw))
    assert "models.0.parameters.weight is 0.3 here, 0.9 there" in refusal(lambda: read_bundle(made))


@pytest.mark.parametrize(("level", "read"), [("sve256", True), ("avx2", True), ("avx9000", False), ("no avx", False)])
def test_levels_are_those_that_torch_reads(made: Path, level: str, read: bool) -> None:
    raw = json.loads((made / "manifest.json").read_text())
    ids = {role: entry["checkpoint_id"] for role, entry in raw["inputs"].items()}
    raw["kernel_level"] = level
    raw["merge_id"] = merge_id(DEMO_POINT, ids, threads=raw["threads"], level=level, out_dtype=raw["out_dtype"])
    (made / "manifest.json").write_text(json.dumps(raw))
    line = attempt(made)
    assert (line is None) is read
    assert read or "no kernel level of torch" in str(line)


def test_bytes_that_are_no_text(made: Path) -> None:
    for name in ("mergekit.yaml", "manifest.json"):  # the manifest is read first
        (made / name).write_bytes(b"\xff\xfe\x00")
        assert name in refusal(lambda: read_bundle(made))


@pytest.mark.deep
def test_a_hundred_thousand_tensors_are_read_and_more_are_refused(made: Path) -> None:
    file = made / "manifest.json"
    raw = json.loads(file.read_text())
    entry = next(iter(raw["tensors"].values()))
    file.write_text(json.dumps(raw | {"tensors": {f"../{i}\x1b": entry for i in range(100_000)}}))
    assert len(read_bundle(made).manifest.tensors) == 100_000
    file.write_text(json.dumps(raw | {"tensors": {str(i): entry for i in range(MOST_TENSORS + 1)}}))
    assert "tensors" in refusal(lambda: read_bundle(made))


def test_a_huge_file_is_not_read(made: Path) -> None:
    with (made / "manifest.json").open("ab") as stream:
        stream.truncate(1 << 32)
    assert "larger than" in refusal(lambda: read_bundle(made))


@pytest.mark.parametrize(
    "name", ["manifest.json", "mergekit.yaml", "README.md", "checkpoint/config.json", "checkpoint"]
)
def test_links_are_refused(made: Path, tmp_path: Path, name: str) -> None:
    shutil.move(made / name, tmp_path / "elsewhere")
    (made / name).symlink_to(tmp_path / "elsewhere")
    assert "no symbolic links" in refusal(lambda: read_bundle(made))


def test_folders_in_a_checkpoint_are_refused(made: Path) -> None:
    (made / "checkpoint" / "deep").mkdir()
    assert "files alone" in refusal(lambda: read_bundle(made))


def test_what_is_no_folder(tmp_path: Path) -> None:
    assert "no such bundle" in refusal(lambda: read_bundle(tmp_path / "none"))
    assert "a file is missing" in refusal(lambda: read_bundle(tmp_path))


def test_edited_and_missing_files_are_known(made: Path) -> None:
    (made / "scores.json").write_text("{}")
    (made / "Dockerfile").unlink()
    (made / "checkpoint" / "config.json").write_text("{}")
    (made / "checkpoint" / "modeling.py").write_text("")
    edited = ["Dockerfile", "checkpoint/config.json", "checkpoint/modeling.py", "scores.json"]
    assert read_bundle(made).edited_files() == edited
    shutil.rmtree(made / "checkpoint")  # the weights may stay behind
    assert read_bundle(made).edited_files() == ["Dockerfile", "scores.json"]


def zipped(folder: Path, prefix: str = "") -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, prefix + file.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("prefix", ["", "demo-0.4/"])
def test_a_zip_is_read_as_its_folder(made: Path, tmp_path: Path, prefix: str) -> None:
    room = tmp_path / "room"
    room.mkdir()
    assert read_bundle(unpack_bundle(zipped(made, prefix), room)).manifest == read_bundle(made).manifest
    assert {file.name for file in (room / "checkpoint").iterdir()} == {p.name for p in (made / "checkpoint").iterdir()}


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "checkpoint/../../evil",
        "a\\..\\evil",
        "C:evil",
        "a\x1bb",
        "checkpoint/..",
        "..",
        "x/../../evil",
    ],
)
def test_names_that_lead_outside_a_zip(made: Path, tmp_path: Path, name: str) -> None:
    archive, room = zipped(made), tmp_path / "room"
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "evil")
    room.mkdir()
    assert "leads outside" in refusal(lambda: unpack_bundle(archive, room))
    assert not list(room.iterdir())
    assert not (tmp_path / "evil").exists()


def test_links_in_a_zip(made: Path, tmp_path: Path) -> None:
    archive = zipped(made)
    entry = zipfile.ZipInfo("checkpoint/link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(entry, "/etc/passwd")
    assert "symbolic link" in refusal(lambda: unpack_bundle(archive, tmp_path))


def test_what_is_no_bundle_stays_packed(made: Path, tmp_path: Path) -> None:
    archive, room = zipped(made), tmp_path / "room"
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("inputs/base/config.json", "{}")
        packed.writestr("sitecustomize.py", "x")
    room.mkdir()
    unpack_bundle(archive, room)
    assert {path.name for path in room.iterdir()} == {path.name for path in made.iterdir()}


def test_zips_that_are_damaged_or_bombs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(made)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    assert "no whole zip" in refusal(lambda: unpack_bundle(archive, tmp_path))
    spoiled = bytearray(data)
    spoiled[len(data) // 3 : len(data) // 3 + 50] = b"x" * 50
    archive.write_bytes(spoiled)
    assert "no whole zip" in refusal(lambda: unpack_bundle(archive, tmp_path))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", b" " * (257 << 20))
    assert "too large" in refusal(lambda: unpack_bundle(archive, tmp_path))
    archive.write_bytes(data)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    assert "unpacked" in refusal(lambda: unpack_bundle(archive, tmp_path))


def test_a_zip_of_very_many_entries(tmp_path: Path) -> None:
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(MOST_ENTRIES + 1):
            packed.writestr(str(number), "")
    assert "more than" in refusal(lambda: unpack_bundle(archive, tmp_path))


def test_a_name_that_stands_twice_in_a_zip(made: Path, tmp_path: Path) -> None:
    archive = zipped(made)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("manifest.json", "{}")
    assert "twice" in refusal(lambda: unpack_bundle(archive, tmp_path))


def test_no_damage_to_a_zip_brings_the_reader_down(tmp_path: Path) -> None:
    archive, room, draw = tmp_path / "b.zip", tmp_path / "room", random.Random(1)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", '{"a": 1}' * 50)
        packed.writestr("checkpoint/config.json", "{}")
    data = archive.read_bytes()
    room.mkdir()
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        archive.write_bytes(damaged)
        with contextlib.suppress(MergescopeError):  # anything else fails the test
            unpack_bundle(archive, room)
            refused -= 1
        refused += 1
    assert refused > 1000
    assert {path.name for path in tmp_path.iterdir()} == {"b.zip", "room"}
