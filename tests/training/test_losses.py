"""Losses and penalties, by numbers that can be worked out on paper."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_lib.training.losses import (
    critic_generator_loss,
    critic_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    hinge_loss,
    relativistic_generator_loss,
    relativistic_loss,
)

LN2, LN3 = math.log(2), math.log(3)  # a logit of ln 3 is a belief of 3/4, one of -ln 3 a belief of 1/4
PAIRED = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2  # scores of 5 against 4, and of 7 against 9


def logits(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1)


@pytest.mark.parametrize(
    ("loss", "one", "other", "expected"),
    [
        (discriminator_loss, [0.0] * 5, [0.0] * 5, LN2),  # undecided
        (discriminator_loss, [LN3], [-LN3], -math.log(0.75)),  # right about both
        (discriminator_loss, [-LN3], [LN3], -math.log(0.25)),  # wrong about both
        (discriminator_loss, [LN3], [0.0], (-math.log(0.75) + LN2) / 2),  # the mean of the halves, not their sum
        (discriminator_loss, [LN3, 0.0], [0.0, 0.0], ((-math.log(0.75) + LN2) / 2 + LN2) / 2),  # the mean over the batch
        (discriminator_loss, [1000.0], [-1000.0], 0.0),
        (discriminator_loss, [-1000.0], [1000.0], 1000.0),  # log(sigmoid(-1000)), by way of the sigmoid it would be log(0)
        (generator_loss, [0.0] * 5, None, LN2),
        (generator_loss, [LN3], None, -math.log(0.75)),  # it deceives
        (generator_loss, [-LN3], None, -math.log(0.25)),  # it does not
        (generator_loss, [LN3, -LN3], None, -(math.log(0.75) + math.log(0.25)) / 2),
        (generator_loss, [1000.0], None, 0.0),
        (generator_loss, [-1000.0], None, 1000.0),
        (critic_loss, [3.0, 5.0], [-1.0, 0.0], -4.5),
        (critic_loss, [103.0, 105.0], [99.0, 100.0], -4.5),  # scores have no zero
        (critic_loss, [2.0], [2.0], 0.0),
        (critic_generator_loss, [3.0, 5.0], None, -4.0),
        (hinge_loss, [0.0], [0.0], 2.0),
        (hinge_loss, [1.5], [-2.0], 0.0),  # right by more than one
        (hinge_loss, [0.5], [-0.25], 0.5 + 0.75),
        (relativistic_loss, [0.0] * 5, [0.0] * 5, LN2),
        (relativistic_loss, [5.0, 7.0], [4.0, 9.0], PAIRED),  # differences alone count
        (relativistic_generator_loss, [5.0, 7.0], [4.0, 9.0], PAIRED),
    ],
)
def test_a_loss_of_known_logits(
    loss: Callable[..., Tensor], one: list[float], other: list[float] | None, expected: float
) -> None:
    found = loss(logits(*one), *([] if other is None else [logits(*other)]))
    assert found.item() == pytest.approx(expected, abs=1e-6, rel=1e-6)


def test_the_generators_gradient_does_not_vanish_when_it_is_seen_through() -> None:
    # Non-saturating: d/dx softplus(-x) = sigmoid(x) - 1, -1 at x = -20, where log(1 - sigmoid) would give 0.
    x = logits(-20.0).requires_grad_()
    generator_loss(x).backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(-1.0, abs=1e-6)


def linear(weights: Tensor) -> Callable[[Tensor], Tensor]:
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

    def critic(images: Tensor) -> Tensor:
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
