"""What one epoch does, what it must leave alone, and whole trainings.

Several tests train with a learning rate of 1e-12: the weights stand still, so what an epoch reports can be checked
against the same networks asked afterwards.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_config
from torch import Tensor, nn

from gan_lib.data import load_images
from gan_lib.errors import TrainingError
from gan_lib.presets import configure
from gan_lib.training.layers import Dropout
from gan_lib.training.losses import gradient_penalty
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import fixed_latents, judge, sample
from gan_lib.training.trainer import EpochStats, Trainer, Turns

from .helpers import EVERYTHING, MODELS, PRECISIONS, STILL, bits, everything, make_trainer, noise, numbers, same

CRITIC: dict[str, Any] = {"images": 40, "batch_size": 8, "dropout": 0.0, "critic_steps": 2}  # five batches an epoch


def make_critic(**changes: Any) -> Trainer:
    return make_trainer(**{**CRITIC, **changes})


@contextmanager
def inputs_seen(network: nn.Module) -> Iterator[list[Tensor]]:
    """Every batch that a network is given, in order."""
    seen: list[Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    yield seen
    handle.remove()


RUNS: list[dict[str, Any]] = [
    {"model": "gan"},
    {"model": "cgan"},
    {**CRITIC, "model": "gan", "loss": "wgan"},
    {**CRITIC, "model": "cgan", "loss": "wgan-gp", "dropout": 0.25},
    EVERYTHING,
    {**EVERYTHING, "augmentation": "affine"},
    {**EVERYTHING, "augmentation": "cutout", "classes": 0},
    {**EVERYTHING, "loss": "hinge", "penalty_every": None},
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("changes", RUNS, ids=lambda run: "-".join(map(str, run.values())))
def test_training_resumes_in_the_middle_of_an_epoch_to_the_last_bit(changes: dict[str, Any], precision: str) -> None:
    whole, stopped, resumed = (make_trainer(**changes, precision=precision) for _ in range(3))
    expected = [numbers(stats) for stats in whole.train()]
    found = [numbers(stopped.train_epoch())]
    pauses = iter([False, True])
    assert stopped.advance(lambda: next(pauses)) is None
    assert stopped.facts()["batches_done"] == 2
    resumed.load(everything(stopped), stopped.facts())
    list(stopped.train())  # the tensors that were handed over are copies
    found += [numbers(stats) for stats in resumed.train()]
    assert found == expected
    assert same(everything(resumed), everything(whole))
    other = [numbers(stats) for stats in make_trainer(**changes, precision=precision, seed=1).train()]
    assert not set(other) & set(expected)


@pytest.mark.parametrize("model", MODELS)
def test_every_image_is_used_exactly_once_an_epoch_in_a_new_order_with_a_smaller_last_batch(model: str) -> None:
    training = make_trainer(model=model)
    names = {image.numpy().tobytes(): number for number, image in enumerate(training.images)}
    orders = []
    for _ in range(3):
        with inputs_seen(training.pair.discriminator) as seen:
            training.train_epoch()
        shown = [[names.get(image.numpy().tobytes()) for image in batch] for batch in seen]
        known = [[number for number in batch if number is not None] for batch in shown]
        batches = [batch for batch in known if batch]  # the generator's steps show it no real images
        assert [len(batch) for batch in batches] == [4, 4, 2]
        orders.append([number for batch in batches for number in batch])
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_reported_belief_and_losses_are_means_over_images_not_over_batches() -> None:
    images = noise(10)
    images[0] = 1.0  # it stands out: a mean over the batches of 4, 4 and 2 would weigh it wrongly, wherever it falls
    training = make_trainer(images, learning_rate=STILL, dropout=0)
    with torch.no_grad():
        for parameter in training.pair.discriminator.parameters():
            parameter.mul_(3.0)  # so that beliefs differ from image to image
    expected = judge(training.pair.discriminator, training.images)
    assert expected.std().item() > 0.01
    found = [training.train_epoch().real_probability for _ in range(5)]
    assert found == pytest.approx([expected.mean().item()] * 5, abs=2e-6)


def test_losses_and_beliefs_agree_when_every_image_gets_the_same_logit() -> None:
    training = make_trainer(learning_rate=STILL)
    last = [module for module in training.pair.discriminator.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(math.log(3))  # a belief of 3/4, whatever the image
    stats = training.train_epoch()
    assert stats.real_probability == pytest.approx(0.75, abs=1e-6)
    assert stats.generated_probability == pytest.approx(0.75, abs=1e-6)
    assert stats.discriminator_loss == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2, abs=1e-6)
    assert stats.generator_loss == pytest.approx(-math.log(0.75), abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_dropout_is_active_in_both_steps_and_off_when_judging(model: str) -> None:
    def epochs(dropout: float) -> list[EpochStats]:
        return list(make_trainer(4, model=model, learning_rate=STILL, dropout=dropout).train())

    without, with_it = epochs(0.0), epochs(0.5)
    # The discriminator stands still and sees the same four images: only dropout can change what it believes of them.
    assert without[0].real_probability == pytest.approx(without[1].real_probability, abs=1e-7)
    assert abs(with_it[0].real_probability - with_it[1].real_probability) > 1e-4
    # Both runs draw the same latents, so only dropout can tell their generators' losses apart.
    assert abs(without[0].generator_loss - with_it[0].generator_loss) > 1e-4

    training = make_trainer(4, model=model, dropout=0.5)
    beliefs = [judge(training.pair.discriminator, training.images) for _ in range(2)]
    assert torch.equal(beliefs[0], beliefs[1])


@pytest.mark.parametrize("model", MODELS)
def test_batch_norm_learns_its_statistics_in_training_and_not_in_sampling(model: str) -> None:
    training = make_trainer(model=model)
    before = bits(training.pair.generator)
    sample(training.pair.generator, fixed_latents(training.config, 5))
    assert same(before, bits(training.pair.generator))
    training.train_epoch()
    after = bits(training.pair.generator)
    assert not any(torch.equal(before[name], after[name]) for name in before if "running" in name)


def test_batch_norm_normalises_by_the_batch_in_training() -> None:
    training = make_trainer(4, learning_rate=STILL, dropout=0)
    with torch.no_grad():
        for name, buffer in training.pair.generator.named_buffers():
            if "running_mean" in name:
                buffer.fill_(1e6)  # would swamp every image if it were used
    with inputs_seen(training.pair.discriminator) as seen:
        training.train_epoch()
    assert seen[-1].std(0).min().item() > 1e-4  # the generated images still depend on their latents


@pytest.mark.parametrize(("noise", "draws"), [("fresh", 2), ("reused", 1)])
def test_the_generators_step_takes_fresh_images_or_reuses_the_discriminators(noise: str, draws: int) -> None:
    training = make_trainer(4, generator_noise=noise, learning_rate=STILL, dropout=0)
    with inputs_seen(training.pair.generator) as latents, inputs_seen(training.pair.discriminator) as judged:
        training.train_epoch()
    assert len(latents) == draws
    assert len({batch.numpy().tobytes() for batch in latents}) == draws
    first, second = judged[-2][-4:], judged[-1]  # the generated half of D's step; what G's step showed
    assert torch.allclose(first, second, atol=1e-6) == (noise == "reused")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("setting", "passes"), [("active", 2), ("off", 1)])
def test_dropout_is_active_in_the_generators_step_or_only_in_the_discriminators(model: str, setting: str, passes: int) -> None:
    training = make_trainer(4, model=model, generator_dropout=setting)
    layers = [layer for layer in training.pair.discriminator.modules() if isinstance(layer, Dropout)]
    drawn = []
    draw = training.masks.draw
    training.masks.draw = lambda *given: drawn.append(given) or draw(*given)  # type: ignore[method-assign, func-returns-value]
    training.train_epoch()
    assert len(drawn) == passes * len(layers)
    assert all(layer.training for layer in layers), "and is ready for the next step"


@pytest.mark.parametrize("model", MODELS)
def test_training_ends_with_the_last_epoch_and_reports_each(model: str) -> None:
    training = make_trainer(model=model)
    assert training.epochs_done == 0
    stats = list(training.train())
    assert [line.epoch for line in stats] == [1, 2, 3]
    assert training.epochs_done == 3
    assert list(training.train()) == []
    for line in stats:
        assert min(line.real_probability, line.generated_probability) >= 0
        assert max(line.real_probability, line.generated_probability) <= 1
        assert min(line.discriminator_loss, line.generator_loss, line.training_seconds) > 0


def test_both_networks_learn() -> None:
    # 20 epochs on black images: the discriminator must come to tell them from what an untrained generator draws.
    config = tiny_config(training_images=32, batch_size=8, epochs=20, adam_beta1=0.5)
    training = Trainer(config, torch.full((32, 1, 8, 8), -1.0))
    before = sample(training.pair.generator, fixed_latents(config, 20)).mean().item()
    stats = list(training.train())
    after = sample(training.pair.generator, fixed_latents(config, 20)).mean().item()
    assert max(line.real_probability - line.generated_probability for line in stats) > 0.1
    assert abs(before) < 0.1  # grey
    assert after < -0.8  # and the generator must come to draw black


@pytest.mark.parametrize("model", MODELS)
def test_sampling_and_judging_in_the_middle_leave_training_as_it_was(model: str) -> None:
    plain = make_trainer(model=model)
    expected = [numbers(stats) for stats in plain.train()]
    watched, found = make_trainer(model=model), []
    for stats in watched.train():
        found.append(numbers(stats))
        images = sample(watched.pair.generator, fixed_latents(watched.config, 7))
        judge(watched.pair.discriminator, images)
    assert found == expected
    assert same(bits(plain.pair.generator), bits(watched.pair.generator))
    assert same(bits(plain.pair.discriminator), bits(watched.pair.discriminator))


def test_a_loss_that_is_not_finite_ends_training_and_names_epoch_and_batch() -> None:
    training = make_trainer()
    training.train_epoch()
    with torch.no_grad():
        next(training.pair.generator.parameters()).fill_(math.nan)
    with pytest.raises(TrainingError, match=r"not finite.*epoch 2, batch 1 of 3$"):
        training.train_epoch()


def test_the_first_bad_batch_is_the_one_that_is_named() -> None:
    named, images = set(), noise(10)
    images[3] = math.nan
    for seed in range(6):
        with pytest.raises(TrainingError) as caught:
            make_trainer(images, seed=seed).train_epoch()
        found = re.search(r"epoch 1, batch ([123]) of 3$", str(caught.value))
        assert found
        named.add(found[1])
    assert len(named) > 1  # it depends on where the bad image fell


@pytest.mark.parametrize("model", MODELS)
def test_the_penaltys_gradient_is_that_of_pytorchs_own_layers(model: str) -> None:
    config = tiny_config(model=model, dropout=0.0)
    critic = build_pair(config).discriminator
    plain: Any = critic
    if model == "cgan":  # its layers with a backward pass of their own must have a second one
        first, second, last = critic[0], critic[3], critic[7]

        def plain(x: Tensor) -> Tensor:
            x = F.leaky_relu(F.conv2d(x, first.weight, first.bias, stride=2, padding=1), 0.2)
            x = F.leaky_relu(F.conv2d(x, second.weight, second.bias, stride=2, padding=1), 0.2)
            return F.linear(x.permute(0, 2, 3, 1).flatten(1), last.weight, last.bias)

    def gradients(network: Any) -> list[Tensor]:
        penalty = gradient_penalty(network, noise(6), noise(6, seed=1), torch.linspace(0, 1, 6))
        return list(torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True))

    for ours, theirs in zip(gradients(critic), gradients(plain), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    # and by finite differences, along the gradient itself
    found, step = gradients(critic), 1e-3
    norm = torch.cat([gradient.flatten() for gradient in found]).norm()
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, gradient in zip(critic.parameters(), found, strict=True):
                parameter.add_(gradient / norm, alpha=sign * step)
        values.append(gradient_penalty(critic, noise(6), noise(6, seed=1), torch.linspace(0, 1, 6)).item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(norm.item(), rel=0.02)


@pytest.mark.parametrize("model", MODELS)
def test_the_penalty_brings_the_critics_slope_near_1(model: str) -> None:
    run = make_critic(model=model, loss="wgan-gp", learning_rate=1e-3, adam_beta1=0.0, adam_beta2=0.9, epochs=40)
    latents = torch.rand(40, 10, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def slope() -> float:  # where the penalty holds it: between real images and those that the generator makes now
        between = ((noise(40) + run.pair.generator(latents).detach()) / 2).requires_grad_()
        (gradient,) = torch.autograd.grad(run.pair.discriminator(between).sum(), between)
        return gradient.flatten(1).norm(dim=1).mean().item()

    assert slope() < 0.5
    for _ in run.train():
        pass
    assert slope() == pytest.approx(1, abs=0.35)  # 0.87 to 1.27 over six seeds and both models


@pytest.mark.parametrize("model", MODELS)
def test_bf16_follows_fp32(model: str) -> None:
    changes: dict[str, Any] = {"model": model, "loss": "wgan-gp", "adam_beta1": 0.0, "adam_beta2": 0.9, "epochs": 5}
    full, half = (
        [numbers(stats) for stats in make_critic(precision=precision, **changes).train()] for precision in ("fp32", "bf16")
    )
    for one, other in zip(full, half, strict=True):
        assert other == pytest.approx(one, rel=0.05, abs=0.1)
    assert full[-1][1] < full[0][1] - 1  # it learns: the agreement is not that of networks that stand still


def test_the_generator_has_its_turn_on_every_fifth_batch_counted_on_through_the_epochs() -> None:
    turns = Turns(steps=5, batches=16)
    first = [number for number in range(16) if turns.updates_generator(0, number)]
    second = [number for number in range(16) if turns.updates_generator(1, number)]
    assert (first, second) == ([4, 9, 14], [3, 8, 13])
    assert turns.generator_share(0, [1 / 16] * 16) == pytest.approx(3 / 16)
    assert Turns(1, 16).generator_share(0, [1 / 16] * 16) == 1.0


def test_an_epoch_is_one_pass_and_the_generators_loss_is_that_of_its_own_steps() -> None:
    run = make_critic(loss="wgan-gp", critic_steps=2, learning_rate=1e-12)  # weights stand still
    (last,) = [layer for layer in run.pair.discriminator if isinstance(layer, nn.Linear)][-1:]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(7.0)
    calls = []
    run.pair.generator.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    stats = run.train_epoch()
    assert (stats.real_probability, stats.generated_probability) == pytest.approx((7.0, 7.0))  # scores, no probabilities
    assert stats.generator_loss == pytest.approx(-7.0)
    assert stats.discriminator_loss == pytest.approx(10.0)  # a flat critic: (0 - 1)² times the weight
    assert calls == [8] * 7  # five critic steps, and two of the generator with fresh latents


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wgan-cpu", "cwgan-cpu"])
def test_both_networks_learn_on_digits(name: str) -> None:
    changes: dict[str, Any] = {"training_images": 160, "batch_size": 16, "image_size": 12, "threads": 1, "latent_size": 20}
    config = configure(name, "quick", epochs=25, learning_rate=5e-4, **changes)
    run = Trainer(config, load_images(config).train, "fp32")
    estimates = [stats.real_probability - stats.generated_probability for stats in run.train()]
    assert max(estimates) > 2  # the critic learns to tell them apart …
    assert 0 < estimates[-1] < 0.7 * max(estimates)  # … and the generator comes nearer
