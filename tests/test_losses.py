"""losses.py: binary cross-entropy on logits, by numbers that can be worked out on paper."""

import math

import pytest
import torch

from gan_lib.losses import discriminator_loss, generator_loss

LN2 = math.log(2)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1)


def test_an_undecided_discriminator_costs_both_sides_ln_2() -> None:
    zero = torch.zeros(5, 1)
    assert discriminator_loss(zero, zero).item() == pytest.approx(LN2, abs=1e-6)
    assert generator_loss(zero).item() == pytest.approx(LN2, abs=1e-6)


# A logit of ln 3 is a belief of 3/4, one of -ln 3 a belief of 1/4.
@pytest.mark.parametrize(
    ("real", "generated", "expected"),
    [
        ([math.log(3)], [-math.log(3)], -math.log(0.75)),  # right about both
        ([-math.log(3)], [math.log(3)], -math.log(0.25)),  # wrong about both
        ([math.log(3)], [0.0], (-math.log(0.75) + LN2) / 2),  # the mean of the halves, not their sum
        ([math.log(3), 0.0], [0.0, 0.0], ((-math.log(0.75) + LN2) / 2 + LN2) / 2),  # the mean over the batch
    ],
)
def test_the_discriminators_loss_is_a_mean(real: list[float], generated: list[float], expected: float) -> None:
    assert discriminator_loss(logits(*real), logits(*generated)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([math.log(3)], -math.log(0.75)),  # it deceives: a low loss
        ([-math.log(3)], -math.log(0.25)),  # it is seen through: a high one
        ([math.log(3), -math.log(3)], -(math.log(0.75) + math.log(0.25)) / 2),
    ],
)
def test_the_generators_loss_is_low_when_it_deceives(generated: list[float], expected: float) -> None:
    assert generator_loss(logits(*generated)).item() == pytest.approx(expected, abs=1e-6)


def test_extreme_logits_stay_finite_and_exact() -> None:
    # log(sigmoid(-1000)) is -1000 exactly; by way of the sigmoid it would be log(0).
    assert discriminator_loss(logits(1000.0), logits(-1000.0)).item() == 0.0
    assert discriminator_loss(logits(-1000.0), logits(1000.0)).item() == pytest.approx(1000.0, abs=1e-3)
    assert generator_loss(logits(1000.0)).item() == 0.0
    assert generator_loss(logits(-1000.0)).item() == pytest.approx(1000.0, abs=1e-3)


def test_the_generators_gradient_does_not_vanish_when_it_is_seen_through() -> None:
    # Non-saturating: d/dx softplus(-x) = sigmoid(x) - 1, -1 at x = -20, where log(1 - sigmoid) would give 0.
    x = logits(-20.0).requires_grad_()
    generator_loss(x).backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(-1.0, abs=1e-6)


def test_the_losses_agree_with_pytorchs_own_binary_cross_entropy() -> None:
    real, generated = torch.randn(2, 50, 1, generator=torch.Generator().manual_seed(0)) * 3
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(50, 1), torch.zeros(50, 1)
    both = entropy(torch.cat([real, generated]), torch.cat([ones, zeros])).item()
    assert discriminator_loss(real, generated).item() == pytest.approx(both, abs=1e-6)
    assert generator_loss(generated).item() == pytest.approx(entropy(generated, ones).item(), abs=1e-6)
