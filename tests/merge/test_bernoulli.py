"""Draws: torch's bits and the state after them; sums in torch's order."""

from __future__ import annotations

import pytest
import torch

from merge.bernoulli import draw_plane, drawn
from merge.native import Native, native
from merge.planes import unpack


@pytest.fixture(scope="module")
def loops() -> Native:
    built = native()
    if built is None:
        pytest.skip("no C compiler on this machine")
    return built


@pytest.fixture(params=["compiled", "plain"])
def either_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with the compiled loops and without."""
    if request.param == "plain":
        monkeypatch.setattr("merge.bernoulli.native", lambda: None)
    else:
        request.getfixturevalue("loops")


@pytest.mark.parametrize("density", [0.01, 0.1, 0.3, 0.5, 0.53, 0.8, 0.999999, 1e-9])
def test_bits_and_state_are_bernoulli_s(loops: Native, density: float) -> None:
    torch.manual_seed(5)
    torch.rand(17)  # somewhere within the generator's state
    start = torch.get_rng_state()
    for count in (1, 3, 623, 624, 625, 8192, 100_003):
        wanted = torch.bernoulli(torch.full((count,), density)) > 0
        after = torch.get_rng_state()
        torch.set_rng_state(start)
        assert torch.equal(unpack(draw_plane(loops, count, density), count), wanted), count
        assert torch.equal(torch.get_rng_state(), after), count
        start = after


def test_a_fresh_seed_starts_alike(loops: Native) -> None:
    torch.manual_seed(11)
    wanted = torch.bernoulli(torch.full((1000,), 0.4)) > 0
    torch.manual_seed(11)
    assert torch.equal(unpack(draw_plane(loops, 1000, 0.4), 1000), wanted)


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("shape", [(7,), (33, 129), (512, 1000)])
@pytest.mark.parametrize("rescale", [True, False])
def test_scales_are_mergekit_s(shape: tuple[int, ...], rescale: bool) -> None:
    from mergekit.sparsify import RescaleNorm, bernoulli

    generator = torch.Generator().manual_seed(1)
    base = torch.randn(shape, generator=generator)
    tuned = [base + 0.01 * torch.randn(shape, generator=generator) for _ in range(3)]
    densities = [0.5, 1.0, 0.2]
    torch.manual_seed(3)
    wanted = [
        bernoulli(theta - base, density, RescaleNorm.l1 if rescale else None)
        for theta, density in zip(tuned, densities, strict=True)
    ]
    after = torch.get_rng_state()
    torch.manual_seed(3)
    for theta, density, (plane, scale), right in zip(
        tuned, densities, drawn(base, tuned, densities, rescale=rescale), wanted, strict=True
    ):
        assert (plane is None) == (density == 1)
        assert scale is not None
        mask = torch.ones(shape) if plane is None else unpack(plane, base.numel()).view(shape).float()
        made = (theta - base) * mask * torch.tensor(scale)
        assert torch.equal(made.view(torch.int32), right.view(torch.int32))
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.usefixtures("either_form")
def test_transposed_tensors_draw_as_mergekit_does() -> None:
    from mergekit.sparsify import RescaleNorm, bernoulli

    base, theta = torch.zeros(64, 96).t(), torch.randn(64, 96, generator=torch.Generator().manual_seed(1)).t()
    torch.manual_seed(3)
    right = bernoulli(theta - base, 0.5, RescaleNorm.l1)
    torch.manual_seed(3)
    ((plane, scale),) = drawn(base, [theta], [0.5], rescale=True)
    assert plane is not None
    assert scale is not None
    assert torch.equal((theta - base) * unpack(plane, base.numel()).view(base.shape) * torch.tensor(scale), right)


@pytest.mark.usefixtures("either_form")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_scale(value: float) -> None:
    theta = torch.ones(10)
    theta[3] = value
    ((_, scale),) = drawn(torch.zeros(10), [theta], [0.5], rescale=True)
    assert scale is None


@pytest.mark.usefixtures("either_form")
def test_a_task_vector_of_nothing_is_not_scaled() -> None:
    ((_, scale),) = drawn(torch.ones(10), [torch.ones(10)], [0.5], rescale=True)
    assert scale == 1.0
