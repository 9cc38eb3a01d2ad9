"""Seeds depend on names, not on order."""

from mergescope.ground.seeds import SEED_LIMIT, derive_seed


def test_seeds_are_stable_and_within_what_libraries_take() -> None:
    seeds = [derive_seed(7, "answer", f"q1_{i}", 0) for i in range(1000)]
    assert seeds == [derive_seed(7, "answer", f"q1_{i}", 0) for i in range(1000)]
    assert all(0 <= seed < SEED_LIMIT for seed in seeds)
    assert len(set(seeds)) == 1000


def test_every_name_counts() -> None:
    assert len({derive_seed(7), derive_seed(8), derive_seed(7, "a"), derive_seed(7, "a", 0), derive_seed(7, "a0")}) == 5


def test_the_first_seed_ever_derived_stays() -> None:
    """Seeds are stored with what they made: changing the derivation would orphan every store."""
    assert derive_seed(7, "answer") == 474151942
