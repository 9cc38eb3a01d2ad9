"""Examples: of the question's own specific harm, drawn by a seed, never the question itself."""

from __future__ import annotations

from trainer.synthesis.prompts import Shot
from trainer.synthesis.questions import Question
from trainer.synthesis.shots import Shots
from trainer.taxonomy.categories import known

REVIEWED = [("違法薬物", Shot(f"薬物{i}", f"答え{i}")) for i in range(9)] + [("詐欺", Shot("詐欺0", "答え"))]


def question(prompt: str, harm: str = "違法薬物") -> Question:
    return Question("harmful", prompt, {"specific-harm": harm}, None, None, None)


def test_examples_are_of_the_same_harm_and_the_same_every_time() -> None:
    shots = Shots(REVIEWED, 3, 1)
    found = shots.of(question("薬物の話"))
    assert len(found) == len(set(found)) == 3
    assert all(shot.prompt.startswith("薬物") for shot in found)
    assert Shots([*reversed(REVIEWED), REVIEWED[0]], 3, 1).of(question("薬物の話")) == found
    assert len({Shots(REVIEWED, 3, seed).of(question("薬物の話")) for seed in range(5)}) > 1


def test_a_harm_is_known_in_either_language() -> None:
    category = known("specific-harm", "違法薬物")
    assert category is not None
    assert len(Shots(REVIEWED, 3, 1).of(question("薬物の話", category.en))) == 3


def test_there_may_be_fewer_or_none() -> None:
    shots = Shots(REVIEWED, 3, 1)
    assert shots.of(question("詐欺の話", "詐欺")) == (Shot("詐欺0", "答え"),)
    assert shots.of(question("詐欺０ ", "詐欺")) == ()
    assert shots.of(question("ほか", "爆発物")) == ()
