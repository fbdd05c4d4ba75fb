"""What one epoch does, and what it must leave alone.

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
from conftest import tiny_config
from torch import Tensor, nn

from gan_lib.errors import TrainingError
from gan_lib.training.layers import Dropout
from gan_lib.training.sampling import fixed_latents, judge, sample
from gan_lib.training.steps import discriminator_step, generator_step
from gan_lib.training.trainer import EpochStats, Trainer

MODELS = ["gan", "cgan"]
STILL = 1e-12  # a learning rate at which nothing is learnt


def noise(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(42)).mul(2).sub(1)


def trainer(images: Tensor | int = 10, batch_size: int = 4, precision: str = "fp32", **changes: Any) -> Trainer:
    """On 10 images of noise in batches of 4, 4 and 2, unless told otherwise."""
    images = noise(images) if isinstance(images, int) else images
    config = tiny_config(**{"training_images": len(images), "batch_size": batch_size, **changes})
    return Trainer(config, images, precision)


def losses(stats: EpochStats) -> tuple[float, ...]:
    return tuple(stats)[1:5]  # all but the epoch and the seconds


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@contextmanager
def inputs_seen(network: nn.Module) -> Iterator[list[Tensor]]:
    """Every batch that a network is given, in order."""
    seen: list[Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    yield seen
    handle.remove()


@pytest.mark.parametrize("model", MODELS)
def test_a_discriminator_step_changes_the_discriminator_alone(model: str) -> None:
    training = trainer(model=model)
    generator, discriminator = (bits(network) for network in training.pair)
    discriminator_step(training.discriminator, noise(4), noise(8)[4:], training.rules)
    assert same(generator, bits(training.pair.generator))
    assert not any(torch.equal(discriminator[name], new) for name, new in bits(training.pair.discriminator).items())


@pytest.mark.parametrize("model", MODELS)
def test_a_generator_step_changes_the_generator_alone_and_leaves_the_discriminator_no_gradients(model: str) -> None:
    training = trainer(model=model)
    generator, discriminator = (bits(network) for network in training.pair)
    generator_step(training.generator, training.discriminator, training.pair.generator(torch.rand(4, 10)), training.rules)
    assert same(discriminator, bits(training.pair.discriminator))
    assert not any(torch.equal(generator[name], new) for name, new in training.pair.generator.named_parameters())
    gradients = [parameter.grad for parameter in training.pair.discriminator.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_losses_to_the_last_bit_and_another_others(model: str, precision: str) -> None:
    runs = [[losses(stats) for stats in trainer(model=model, seed=n, precision=precision).train()] for n in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert not set(runs[0]) & set(runs[2])
    assert len(set(runs[0])) == 3  # and every epoch differs


@pytest.mark.parametrize("model", MODELS)
def test_every_image_is_used_exactly_once_an_epoch_in_a_new_order_with_a_smaller_last_batch(model: str) -> None:
    training = trainer(model=model)
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
    training = trainer(images, learning_rate=STILL, dropout=0)
    with torch.no_grad():
        for parameter in training.pair.discriminator.parameters():
            parameter.mul_(3.0)  # so that beliefs differ from image to image
    expected = judge(training.pair.discriminator, training.images)
    assert expected.std().item() > 0.01
    found = [training.train_epoch().real_probability for _ in range(5)]
    assert found == pytest.approx([expected.mean().item()] * 5, abs=2e-6)


def test_losses_and_beliefs_agree_when_every_image_gets_the_same_logit() -> None:
    training = trainer(learning_rate=STILL)
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
        return list(trainer(4, 4, model=model, learning_rate=STILL, dropout=dropout).train())

    without, with_it = epochs(0.0), epochs(0.5)
    # The discriminator stands still and sees the same four images: only dropout can change what it believes of them.
    assert without[0].real_probability == pytest.approx(without[1].real_probability, abs=1e-7)
    assert abs(with_it[0].real_probability - with_it[1].real_probability) > 1e-4
    # Both runs draw the same latents, so only dropout can tell their generators' losses apart.
    assert abs(without[0].generator_loss - with_it[0].generator_loss) > 1e-4

    training = trainer(4, 4, model=model, dropout=0.5)
    beliefs = [judge(training.pair.discriminator, training.images) for _ in range(2)]
    assert torch.equal(beliefs[0], beliefs[1])


@pytest.mark.parametrize("model", MODELS)
def test_batch_norm_learns_its_statistics_in_training_and_not_in_sampling(model: str) -> None:
    training = trainer(model=model)
    statistics = {name: tensor for name, tensor in bits(training.pair.generator).items() if "running" in name}
    sample(training.pair.generator, fixed_latents(training.config, 5))
    assert same(statistics, bits(training.pair.generator))
    training.train_epoch()
    after = bits(training.pair.generator)
    assert not any(torch.equal(before, after[name]) for name, before in statistics.items())


def test_batch_norm_normalises_by_the_batch_in_training() -> None:
    training = trainer(4, 4, learning_rate=STILL, dropout=0)
    with torch.no_grad():
        for name, buffer in training.pair.generator.named_buffers():
            if "running_mean" in name:
                buffer.fill_(1e6)  # would swamp every image if it were used
    with inputs_seen(training.pair.discriminator) as seen:
        training.train_epoch()
    assert seen[-1].std(0).min().item() > 1e-4  # the generated images still depend on their latents


@pytest.mark.parametrize(("noise", "draws"), [("fresh", 2), ("reused", 1)])
def test_the_generators_step_takes_fresh_images_or_reuses_the_discriminators(noise: str, draws: int) -> None:
    training = trainer(4, 4, generator_noise=noise, learning_rate=STILL, dropout=0)
    with inputs_seen(training.pair.generator) as latents, inputs_seen(training.pair.discriminator) as judged:
        training.train_epoch()
    assert len(latents) == draws
    assert len({batch.numpy().tobytes() for batch in latents}) == draws
    first, second = judged[-2][-4:], judged[-1]  # the generated half of D's step; what G's step showed
    assert torch.allclose(first, second, atol=1e-6) == (noise == "reused")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("setting", "passes"), [("active", 2), ("off", 1)])
def test_dropout_is_active_in_the_generators_step_or_only_in_the_discriminators(model: str, setting: str, passes: int) -> None:
    training = trainer(4, 4, model=model, generator_dropout=setting)
    layers = [layer for layer in training.pair.discriminator.modules() if isinstance(layer, Dropout)]
    drawn = []
    draw = training.masks.draw
    training.masks.draw = lambda *given: drawn.append(given) or draw(*given)  # type: ignore[method-assign, func-returns-value]
    training.train_epoch()
    assert len(drawn) == passes * len(layers)
    assert all(layer.training for layer in layers), "and is ready for the next step"


def test_latents_in_training_are_uniform_in_minus_1_to_1() -> None:
    training = trainer(64, 32, latent_size=100)
    with inputs_seen(training.pair.generator) as seen:
        training.train_epoch()
    values = torch.cat(seen).flatten()
    assert -1 <= values.min().item() < -0.99
    assert 0.99 < values.max().item() <= 1
    assert values.mean().item() == pytest.approx(0, abs=0.03)
    assert values.var().item() == pytest.approx(1 / 3, abs=0.02)  # of the uniform distribution; a normal one has 1


@pytest.mark.parametrize("model", MODELS)
def test_training_goes_on_to_the_last_epoch_and_reports_each(model: str) -> None:
    training = trainer(model=model)
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
    plain = trainer(model=model)
    expected = [losses(stats) for stats in plain.train()]
    watched, found = trainer(model=model), []
    for stats in watched.train():
        found.append(losses(stats))
        images = sample(watched.pair.generator, fixed_latents(watched.config, 7))
        judge(watched.pair.discriminator, images)
    assert found == expected
    assert same(bits(plain.pair.generator), bits(watched.pair.generator))
    assert same(bits(plain.pair.discriminator), bits(watched.pair.discriminator))


def test_a_loss_that_is_not_finite_ends_training_and_names_epoch_and_batch() -> None:
    training = trainer()
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
            trainer(images, seed=seed).train_epoch()
        found = re.search(r"epoch 1, batch ([123]) of 3$", str(caught.value))
        assert found
        named.add(found[1])
    assert len(named) > 1  # it depends on where the bad image fell
