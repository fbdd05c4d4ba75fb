"""Binary cross-entropy on logits, by numbers that can be worked out on paper."""

import math
from collections.abc import Callable

import pytest
import torch

from gan_lib.training.losses import critic_generator_loss, critic_loss, discriminator_loss, generator_loss, gradient_penalty

LN2 = math.log(2)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1)


# A logit of ln 3 is a belief of 3/4, one of -ln 3 a belief of 1/4.
@pytest.mark.parametrize(
    ("real", "generated", "expected"),
    [
        ([0.0] * 5, [0.0] * 5, LN2),  # undecided
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
        ([0.0] * 5, LN2),
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


def test_the_critics_loss_is_the_difference_of_the_mean_scores() -> None:
    assert critic_loss(logits(3.0, 5.0), logits(-1.0, 0.0)).item() == pytest.approx(-4.5)
    assert critic_loss(logits(2.0), logits(2.0)).item() == 0
    assert critic_generator_loss(logits(3.0, 5.0)).item() == -4
    shifted = critic_loss(logits(103.0, 105.0), logits(99.0, 100.0))
    assert shifted.item() == pytest.approx(-4.5)  # scores have no zero


def linear(weights: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda images: (images * weights).flatten(1).sum(dim=1, keepdim=True)


def test_the_penalty_of_a_linear_critic_is_that_of_its_whole_weight_vector() -> None:
    # Two channels, 2 x 2 pixels; 3 and 4 in different channels and places, so |gradient| = 5 for every image.
    weights = torch.zeros(2, 2, 2)
    weights[0, 0, 1], weights[1, 1, 0] = 3.0, 4.0
    real, generated = torch.rand(3, 2, 2, 2), torch.rand(3, 2, 2, 2)
    assert gradient_penalty(linear(weights), real, generated, torch.rand(3)).item() == pytest.approx((5 - 1) ** 2)
    assert gradient_penalty(linear(weights / 5), real, generated, torch.rand(3)).item() == pytest.approx(0, abs=1e-9)
    assert gradient_penalty(linear(weights * 0), real, generated, torch.rand(3)).item() == pytest.approx(1)


def test_the_penalty_is_taken_where_the_shares_say() -> None:
    # The critic |x|² / 2 has the gradient x: 1 x 1 images, 10 for real and 2 for generated.
    real, generated = torch.full((2, 1, 1, 1), 10.0), torch.full((2, 1, 1, 1), 2.0)

    def critic(images: torch.Tensor) -> torch.Tensor:
        return images.square().flatten(1).sum(dim=1, keepdim=True) / 2

    for shares, expected in (([1.0, 1.0], 81.0), ([0.0, 0.0], 1.0), ([0.5, 0.0], ((6 - 1) ** 2 + 1) / 2)):
        assert gradient_penalty(critic, real, generated, torch.tensor(shares)).item() == pytest.approx(expected)


def test_the_penalty_pulls_the_critics_weights_and_nothing_else() -> None:
    weights = torch.tensor([3.0, 4.0], requires_grad=True)
    real, generated = torch.rand(5, 1, 1, 2, requires_grad=True), torch.rand(5, 1, 1, 2, requires_grad=True)
    gradient_penalty(linear(weights.view(1, 1, 2)), real, generated, torch.rand(5)).backward()
    # d (|w| - 1)² / dw = 2 (|w| - 1) w / |w| = 8 (0.6, 0.8)
    assert weights.grad is not None
    assert weights.grad.tolist() == pytest.approx([4.8, 6.4])
    assert real.grad is None and generated.grad is None
