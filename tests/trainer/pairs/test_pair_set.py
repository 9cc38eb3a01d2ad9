"""Made pairs and decisions about them are whole, whoever writes and whenever it is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from tests.trainer.pairs.made import META, make_pair, make_set
from trainer.pairs.pair_set import PairSet, pair_sets
from trainer.quarantine import PurgedError, Quarantine
from trainer.triples import Triple

AT = datetime(2031, 5, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def test_pairs_come_back_in_order_and_once(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 3)
    pairs.add(make_pair(tmp_path, 2, prompt="another question of the same name"))
    assert [pair.prompt for pair in PairSet(pairs.folder).pairs()] == ["質問1", "質問2", "質問3"]
    assert PairSet(pairs.folder).pairs()[0] == make_pair(tmp_path, 1, "(placeholder 1)")
    assert [found.name for found in pair_sets(tmp_path)] == ["harmful"]


def test_a_line_cut_off_by_a_kill_is_removed(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 2)
    file = pairs.folder / "pairs.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + '{"pair_id": "p3", "prompt": "質'.encode()[:-1])
    again = PairSet(pairs.folder)
    assert len(again.pairs()) == 2
    again.add(make_pair(tmp_path, 4))
    assert [pair.pair_id for pair in PairSet(pairs.folder).pairs()] == ["p1", "p2", "p4"]
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("not JSON", "malformed JSON"),
        ("[]", "pair_id"),
        ('{"pair_id": "p9"}', "kind"),
        ('{"pair_id": "p9", "pair_id": "p8"}', "malformed JSON"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str, named: str) -> None:
    pairs = make_set(tmp_path, 1)
    with (pairs.folder / "pairs.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=named) as caught:
        PairSet(pairs.folder).pairs()
    assert "pairs.jsonl:2" in caught.value.line()


def test_only_approved_pairs_are_trained_on_unless_the_recipe_says_so(tmp_path: Path) -> None:
    pairs, quarantine = make_set(tmp_path, 4), Quarantine(tmp_path)
    with pytest.raises(DataError, match="no pair of this set is approved"):
        pairs.triples(quarantine)
    pairs.review("p2", "approve", "Aoi", AT)
    pairs.review("p3", "drop", "Aoi", AT)
    pairs.review("p4", "edit", "Aoi", AT, chosen="書き直した答え")
    expected = Triple(
        "p2", "質問2", "お断りします。2", "(placeholder 2)", META, "test", "CC0-1.0", "model-a, model-b", None
    )
    assert pairs.triples(quarantine) == [expected]
    open_too = pairs.triples(quarantine, unreviewed=True)
    assert [(one.idx, one.chosen) for one in open_too] == [
        ("p1", "お断りします。1"),
        ("p2", "お断りします。2"),
        ("p4", "書き直した答え"),
    ]


def test_who_and_when_are_kept_and_the_last_decision_counts(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 1)
    pairs.review("p1", "approve", "Aoi", AT)
    pairs.review("p1", "drop", "Ren", later(60))
    one = PairSet(pairs.folder).reviewed()[0]
    assert (one.status, one.who, one.at) == ("dropped", "Ren", "2031-05-01T00:01:00.000000+00:00")
    pairs.review("p1", "approve", "Aoi", later(120))
    assert PairSet(pairs.folder).reviewed()[0].status == "approved"
    assert len(list((pairs.folder / "reviews").iterdir())) == 3


def test_an_answer_that_informs_needs_somebody_to_vouch_for_its_facts(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 1, informs=True)
    with pytest.raises(DataError, match="nobody vouches for the facts"):
        pairs.review("p1", "approve", "Aoi", AT)
    assert pairs.reviewed()[0].status == "pending"
    pairs.review("p1", "approve", "Aoi", AT, facts_verified=True)
    assert pairs.reviewed()[0].facts_verified
    pairs.review("p1", "edit", "Ren", later(1), chosen="もっと詳しい答え")
    edited = pairs.reviewed()[0]
    assert (edited.status, edited.facts_verified) == ("pending", False)  # new facts, to be verified anew


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"pair_id": "p9"}, "no such pair"),
        ({"who": " "}, "nobody is named"),
        ({"action": "keep"}, "no such action"),
        ({"chosen": "\n"}, "an empty text"),
    ],
)
def test_a_decision_that_cannot_count_is_refused(tmp_path: Path, values: dict[str, str], named: str) -> None:
    pairs = make_set(tmp_path, 1)
    wish = {"pair_id": "p1", "action": "approve", "who": "Aoi", **values}
    with pytest.raises(DataError, match=named):
        pairs.review(at=AT, **wish)  # type: ignore[arg-type]
    assert pairs.reviewed()[0].status == "pending"


def test_nobody_approves_what_they_have_not_seen(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 1)
    seen = pairs.reviewed()[0].version
    PairSet(pairs.folder).review("p1", "edit", "Ren", AT, chosen="別の答え", seen=seen)
    with pytest.raises(DataError, match="Ren has changed this pair meanwhile"):
        pairs.review("p1", "approve", "Aoi", later(1), seen=seen)
    pairs.review("p1", "drop", "Aoi", later(2), seen=seen)
    assert pairs.reviewed()[0].status == "dropped"


def test_a_decision_that_another_overtook_does_not_count(tmp_path: Path) -> None:
    """Both looked at the same texts; the approval reached the disk after the edit, unaware of it."""
    pairs = make_set(tmp_path, 1)
    other = make_set(tmp_path / "copy", 1)
    other.review("p1", "approve", "Aoi", later(1))
    pairs.review("p1", "edit", "Ren", AT, chosen="別の答え")
    for file in (other.folder / "reviews").iterdir():
        file.rename(pairs.folder / "reviews" / file.name)
    one = PairSet(pairs.folder).reviewed()[0]
    assert (one.status, one.chosen) == ("pending", "別の答え")


def test_deleted_texts_are_reported_and_the_hash_of_the_data_stays(tmp_path: Path) -> None:
    pairs, quarantine = make_set(tmp_path, 2), Quarantine(tmp_path)
    for name in ("p1", "p2"):
        pairs.review(name, "approve", "Aoi", AT)
    before = pairs.content_hash()
    quarantine.purge(datetime.now(UTC) + timedelta(days=1), 0, ())
    with pytest.raises(PurgedError, match="training data purged"):
        pairs.triples(quarantine)
    assert PairSet(pairs.folder).content_hash() == before
    assert [one.rejected for one in pairs.prompts()] == ["", ""]


def test_the_hash_changes_with_what_is_trained_on_and_with_nothing_else(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 2)
    pairs.review("p1", "approve", "Aoi", AT)
    first = pairs.content_hash()
    pairs.review("p1", "approve", "Ren", later(1))
    pairs.review("p2", "drop", "Ren", later(1))
    assert pairs.content_hash() == first
    pairs.review("p1", "approve", "Ren", later(2), chosen="別の答え")
    assert pairs.content_hash() != first


def _add_many(folder: Path, name: str) -> None:
    pairs = PairSet(folder / "data" / "harmful")
    for number in range(100):
        pairs.add(make_pair(folder, pair_id=f"{name}{number}", prompt="問" * 50))
        pairs.add(make_pair(folder, pair_id=f"both{number}", prompt="問" * 50))


def test_two_processes_add_at_once_and_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add_many, args=(tmp_path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = [pair.pair_id for pair in PairSet(tmp_path / "data" / "harmful").pairs()]
    assert sorted(found) == sorted(f"{name}{number}" for name in ("a", "b", "both") for number in range(100))


def _review_all(folder: Path, who: str, action: str) -> None:
    pairs = PairSet(folder)
    for pair in pairs.pairs():
        pairs.review(pair.pair_id, action, who, datetime.now(UTC))  # type: ignore[arg-type]


def test_two_reviewers_at_once_are_both_kept(tmp_path: Path) -> None:
    pairs = make_set(tmp_path, 50)
    context = multiprocessing.get_context("fork")
    people = [
        context.Process(target=_review_all, args=(pairs.folder, who, action))
        for who, action in (("Aoi", "approve"), ("Ren", "drop"))
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [person.exitcode for person in people] == [0, 0]
    assert len(list((pairs.folder / "reviews").glob("*.json"))) == 100
    assert all(one.status != "pending" for one in PairSet(pairs.folder).reviewed())


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tests.trainer.pairs.made import make_pair
from trainer.pairs.pair_set import PairSet
study = Path(sys.argv[1])
pairs = PairSet(study / "data" / "harmful")
print("go", flush=True)
for number in range(max(0, len(pairs.pairs()) - 1), 100000):
    pairs.add(make_pair(study, number, f"(placeholder {number})", prompt="問" * 2000 + str(number)))
    pairs.review(f"p{number}", "approve", "Aoi", datetime.now(UTC))
"""


def test_killed_at_any_moment_all_files_are_whole(tmp_path: Path) -> None:
    draw = random.Random(7)
    before = 0
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0.05, 0.4))
            os.kill(process.pid, signal.SIGKILL)
        pairs = PairSet(tmp_path / "data" / "harmful")
        found = pairs.reviewed()
        assert len(found) >= before
        assert all(one.status == "approved" for one in found[:-1])  # the kill may fall between pair and decision
        triples = pairs.triples(Quarantine(tmp_path), unreviewed=True)
        assert [triple.rejected for triple in triples] == [f"(placeholder {n})" for n in range(len(triples))]
        before = len(found)
    assert before >= 6
