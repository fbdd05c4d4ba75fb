"""config.py: what can be asked of a run, and what is said when it cannot."""

from typing import Any

import pydantic
import pytest

from gan_lib.config import (
    CONFIGURATIONS,
    PRESETS,
    WASSERSTEIN_CONFIGURATIONS,
    RunConfig,
    configure,
    differences,
    run_name,
    variant,
)
from gan_lib.errors import ConfigurationError

REFUSED = [
    ({"batch_size": 1}, "batch_size must be at least 2 (batch norm needs a spread), got 1"),
    ({"epochs": 0}, "epochs must be at least 1 (passes over the training images), got 0"),
    ({"epochs": 2.5}, "epochs must be a whole number (passes over the training images), got 2.5"),
    ({"epochs": "many"}, "epochs must be a whole number (passes over the training images), got 'many'"),
    ({"dropout": 1}, "dropout must be less than 1.0 (at 1 nothing is left to learn from), got 1"),
    ({"learning_rate": 0}, "learning_rate must be more than 0.0 (Adam's step size, both networks), got 0"),
    (
        {"learning_rate": float("nan")},
        "learning_rate must be a finite number (Adam's step size, both networks), got nan",
    ),
    ({"adam_beta1": 1.0}, "adam_beta1 must be less than 1.0 (Adam's decay of the mean gradient), got 1.0"),
    ({"seed": -1}, "seed must be at least 0 (seed of weights, latents, order and dropout), got -1"),
    ({"channels": 2}, "channels must be 1 or 3 (1: grey; 3: red, green, blue), got 2"),
    (
        {"generator_noise": "old"},
        "generator_noise must be 'fresh' or 'reused' (the generator's step judges fresh images, or reuses those of the "
        "discriminator's step), got 'old'",
    ),
    (
        {"data": "digit"},
        "data must be one of these (digits (5,000 MNIST digits, no download), mnist, fashion-mnist or folder:PATH "
        "(your own images)), got 'digit'",
    ),
    (
        {"model": "cgan", "image_size": 30},
        "image_size must be a multiple of 4 for cgan (two layers of stride 2 halve it twice), "
        "got 30: 28 and 32 would do",
    ),
    ({"training_images": 64}, "training_images must be at least batch_size = 128 (one whole batch), got 64"),
    (
        {"training_images": 257},
        "training_images must not leave a last batch of 1 (batch norm needs a spread), got 257 in batches of 128",
    ),
    ({"epoch": 5}, "unknown parameter 'epoch': did you mean 'epochs'?"),
    ({"epochs": 0, "batch_size": 1}, "epochs must be at least 1 (passes over the training images), got 0; "
     "batch_size must be at least 2 (batch norm needs a spread), got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[" ".join(values) for values, _ in REFUSED])
def test_a_bad_value_gets_one_line_that_says_field_bound_reason_and_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig(**values)
    assert str(caught.value) == message


def test_an_unknown_parameter_that_resembles_none_is_answered_with_all_names() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig(**{"zzz": 1})
    assert str(caught.value) == f"unknown parameter 'zzz': choose from {', '.join(RunConfig.model_fields)}"


@pytest.mark.parametrize("value", ["x" * 5000, "9" * 5000, ["a\nb"] * 500])
def test_a_huge_value_still_gets_one_readable_line(value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig(epochs=value)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("training_images", 128, 1_000_000),
        ("image_size", 4, 256),
        ("epochs", 1, 1_000_000),
        ("batch_size", 2, 2000),
        ("latent_size", 1, 10_000),
        ("dropout", 0.0, 0.999),
        ("leaky_slope", 0.0, 1.0),
        ("learning_rate", 1e-9, 1.0),
        ("adam_beta1", 0.0, 0.9999),
        ("seed", 0, 2**31 - 1),
        ("threads", 0, 1024),
    ],
)
def test_the_ends_of_each_range_are_allowed(name: str, lowest: float, highest: float) -> None:
    for value in (lowest, highest):
        assert getattr(RunConfig(**{name: value}), name) == value


@pytest.mark.parametrize("size", [4, 8, 28, 32, 64, 256])
def test_a_cgan_takes_every_size_that_its_strides_divide(size: int) -> None:
    assert RunConfig(model="cgan", image_size=size).image_shape == (1, size, size)


def test_a_gan_takes_sizes_that_a_cgan_cannot() -> None:
    assert RunConfig(model="gan", image_size=30, channels=3).image_shape == (3, 30, 30)


def test_a_config_cannot_be_changed_once_it_is_made() -> None:
    config = RunConfig()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.epochs = 5  # type: ignore[misc]
    assert config.epochs == 300


def test_every_field_has_a_description_and_a_default() -> None:
    for name, field in RunConfig.model_fields.items():
        assert field.description, f"{name} needs a description"
        assert not field.is_required(), f"{name} needs a default"


def test_the_defaults_are_what_the_paper_states() -> None:
    config = RunConfig()
    assert (config.training_images, config.batch_size, config.latent_size, config.image_size, config.channels) == (
        2000, 128, 100, 28, 1,
    )  # fmt: skip
    assert (config.learning_rate, config.dropout, config.leaky_slope, config.data) == (0.0002, 0.3, 0.2, "digits")


def test_there_are_exactly_the_papers_four_configurations() -> None:
    assert list(CONFIGURATIONS) == ["gan-cpu", "cgan-cpu", "gan-gpu", "cgan-gpu"]
    assert [configure(name).configuration for name in CONFIGURATIONS] == list(CONFIGURATIONS)


@pytest.mark.parametrize(
    ("preset", "model", "epochs", "betas"),
    [
        ("paper", "gan", 1200, (0.9, 0.999)),
        ("paper", "cgan", 300, (0.9, 0.999)),
        ("quick", "gan", 150, (0.5, 0.999)),
        ("quick", "cgan", 60, (0.5, 0.999)),
    ],
)
def test_presets_have_the_agreed_settings(preset: str, model: str, epochs: int, betas: tuple[float, float]) -> None:
    config = configure(f"{model}-cpu", preset)
    assert (config.epochs, (config.adam_beta1, config.adam_beta2)) == (epochs, betas)
    assert config.generator_noise == "fresh"


def test_both_machines_of_a_model_differ_in_nothing_but_the_machine() -> None:
    for preset in PRESETS:
        for model in ("gan", "cgan"):
            cpu, gpu = configure(f"{model}-cpu", preset), configure(f"{model}-gpu", preset)
            assert differences(cpu, gpu) == {"machine": ("cpu", "gpu")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gan-cpuu",), "unknown configuration 'gan-cpuu': did you mean 'gan-cpu'?"),
        (
            ("x",),
            "unknown configuration 'x': choose from gan-cpu, cgan-cpu, gan-gpu, cgan-gpu, wgan-cpu, cwgan-cpu, wgan-gpu, "
            "cwgan-gpu",
        ),
        (("gan-cpu", "quik"), "unknown preset 'quik': did you mean 'quick'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure(*arguments)
    assert str(caught.value) == message


def test_a_configuration_cannot_be_turned_into_another_by_a_parameter() -> None:
    with pytest.raises(ConfigurationError, match="machine is part of the configuration's name"):
        configure("gan-cpu", machine="gpu")
    with pytest.raises(
        ConfigurationError, match=r"^loss wgan is not for cgan-cpu: choose cwgan-cpu, or a loss that belongs to"
    ):
        configure("cgan-cpu", loss="wgan")
    with pytest.raises(
        ConfigurationError, match=r"^loss bce is not for wgan-gpu: choose gan-gpu, or a loss that belongs to the"
    ):
        configure("wgan-gpu", loss="bce", critic_steps=1)


def test_the_wasserstein_configurations_train_as_their_articles_do() -> None:
    assert list(WASSERSTEIN_CONFIGURATIONS) == ["wgan-cpu", "cwgan-cpu", "wgan-gpu", "cwgan-gpu"]
    for name in WASSERSTEIN_CONFIGURATIONS:
        for preset in PRESETS:
            config = configure(name, preset)
            assert (config.configuration, config.loss, config.wasserstein) == (name, "wgan-gp", True)
            assert (config.learning_rate, config.adam_beta1, config.adam_beta2) == (1e-4, 0.0, 0.9)
            assert (config.critic_steps, config.penalty_weight, config.dropout) == (5, 10.0, 0.0)
    clipped = configure("cwgan-cpu", loss="wgan")
    assert (clipped.learning_rate, clipped.adam_beta1, clipped.adam_beta2, clipped.clip) == (5e-5, 0.0, 0.99, 0.01)
    assert run_name(configure("wgan-cpu", "quick")) == "wgan-cpu--quick/seed-0"
    assert run_name(clipped) == "cwgan-cpu--loss-wgan-learning-rate-5e-05-adam-beta2-0.99/seed-0"


def test_several_critic_steps_are_the_default_of_a_wasserstein_loss_alone() -> None:
    assert [RunConfig(loss=loss).critic_steps for loss in ("bce", "wgan", "wgan-gp")] == [1, 5, 5]
    assert RunConfig(loss="wgan", critic_steps=1).critic_steps == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"critic_steps": 5},
            "critic_steps must be 1 for loss bce (both networks take turns, once a batch), got 5",
        ),
        ({"clip": 0.1}, "clip must stay 0.01 for loss bce (only wgan has a use for it), got 0.1"),
        ({"loss": "wgan-gp", "clip": 0.1}, "clip must stay 0.01 for loss wgan-gp (only wgan has a use for it), got 0.1"),
        (
            {"loss": "wgan", "penalty_weight": 1},
            "penalty_weight must stay 10.0 for loss wgan (only wgan-gp has a use for it), got 1.0",
        ),
        (
            {"loss": "wgan", "training_images": 512},
            "critic_steps must be at most 4, the batches of an epoch (each epoch corrects the generator too), got 5",
        ),
    ],
)
def test_what_does_not_go_with_a_loss_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("preset", "changes", "name"),
    [
        ("paper", {}, "gan-cpu/seed-0"),
        ("paper", {"seed": 3}, "gan-cpu/seed-3"),
        ("quick", {}, "gan-cpu--quick/seed-0"),
        ("quick", {"epochs": 5}, "gan-cpu--quick-epochs-5/seed-0"),
        ("paper", {"epochs": 5}, "gan-cpu--epochs-5/seed-0"),
        ("paper", {"learning_rate": 1e-5}, "gan-cpu--learning-rate-1e-05/seed-0"),
    ],
)
def test_a_run_is_named_after_what_sets_it_apart(preset: str, changes: dict[str, Any], name: str) -> None:
    assert run_name(configure("gan-cpu", preset, **changes)) == name


def test_a_long_name_is_cut_and_stays_distinct() -> None:
    first, second = (variant(configure("gan-cpu", data=f"folder:/{'photos/' * 20}{end}")) for end in ("a", "b"))
    assert first != second
    assert len(first) <= 60
    assert len(second) <= 60


@pytest.mark.parametrize(("one", "other"), [("/a/b", "/a-b"), ("/A", "/a"), ("/photos/ä", "/photos/ö")])
def test_two_different_runs_never_share_a_folder(one: str, other: str) -> None:
    names = {run_name(configure("gan-cpu", data=f"folder:{path}")) for path in (one, other)}
    assert len(names) == 2


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "seed"])
def test_true_is_not_taken_for_a_number(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be a .*number"):
        RunConfig(**{name: True})


@pytest.mark.parametrize(("name", "value"), [("dropout", -0.1), ("training_images", 2_000_000), ("batch_size", 10**6)])
def test_a_reason_is_given_only_for_the_bound_that_it_explains(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be at ") as caught:
        RunConfig(**{name: value})
    assert "spread" not in str(caught.value)
    assert "nothing is left" not in str(caught.value)


def test_the_seed_alone_makes_no_variant() -> None:
    assert variant(configure("cgan-gpu", seed=7)) == ""
    assert differences(configure("cgan-gpu", seed=7), configure("cgan-gpu")) == {}
    assert differences(configure("cgan-gpu", seed=7), configure("cgan-gpu"), ignore=()) == {"seed": (7, 0)}
