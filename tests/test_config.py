"""What can be asked of a run, and what is said when it cannot."""

from typing import Any

import pydantic
import pytest

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.registry import LOSSES, MODELS, implied

REFUSED = [
    ({"batch_size": 1}, "batch_size must be at least 2 (batch norm needs a spread), got 1"),
    ({"epochs": 0}, "epochs must be at least 1 (passes over the training images), got 0"),
    ({"epochs": 2.5}, "epochs must be a whole number (passes over the training images), got 2.5"),
    ({"epochs": "many"}, "epochs must be a whole number (passes over the training images), got 'many'"),
    ({"dropout": 1}, "dropout must be less than 1.0 (at 1 nothing is left to learn from), got 1"),
    ({"learning_rate": 0}, "learning_rate must be more than 0.0 (Adam's learning rate, for both networks), got 0"),
    (
        {"learning_rate": float("nan")},
        "learning_rate must be a finite number (Adam's learning rate, for both networks), got nan",
    ),
    ({"channels": 2}, "channels must be 1 or 3 (1: grey; 3: colour (RGB)), got 2"),
    (
        {"data": "digit"},
        f"data must be one of these ({RunConfig.model_fields['data'].description}), got 'digit'",
    ),
    (
        {"model": "cgan", "image_size": 30},
        "image_size must be a multiple of 4 for cgan (its layers of stride 2 halve it), "
        "got 30: 28 and 32 would do",
    ),
    (
        {"training_images": 64},
        "training_images must be at least batch_size = 128 (one whole batch), got 64: choose a smaller batch_size",
    ),
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


@pytest.mark.parametrize(("model", "size"), [("cgan", 4), ("cgan", 28), ("cgan", 256), ("gan", 30)])
def test_a_model_takes_every_size_that_its_strides_divide(model: str, size: int) -> None:
    assert RunConfig(model=model, image_size=size, channels=3).image_shape == (3, size, size)


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


def test_several_critic_steps_are_the_default_of_a_wasserstein_loss_alone() -> None:
    assert [RunConfig(loss=loss).critic_steps for loss in ("bce", "wgan", "wgan-gp")] == [1, 5, 5]
    assert RunConfig(loss="wgan", critic_steps=1).critic_steps == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"critic_steps": 5}, "critic_steps"),
        ({"dropout": 0, "generator_dropout": "off"}, "generator_dropout"),
        ({"clip": 0.1}, "clip"),
        ({"loss": "wgan-gp", "clip": 0.1}, "clip"),
        ({"loss": "wgan", "penalty_weight": 1}, "penalty_weight"),
        ({"loss": "wgan", "training_images": 512}, "critic_steps"),
        ({"width": 32}, "width"),
        ({"schedule_start": 0.2}, "schedule_start"),
        ({"augmentation_pixels": 2}, "augmentation_pixels"),
        ({"penalty_every": 4}, "penalty_every"),
        ({"classes": 10}, "classes"),
        ({"model": "small", "image_size": 12}, "image_size"),
    ],
)
def test_a_field_without_a_use_is_refused_by_its_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must .*, got "):
        RunConfig(**changes)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_none_and_missing_both_mean_what_model_and_loss_imply(model: str, loss: str) -> None:
    config = RunConfig(model=model, loss=loss)
    fields = set(RunConfig.model_fields) - {"model", "loss"}
    assert RunConfig(model=model, loss=loss, **dict.fromkeys(fields)) == config
    assert RunConfig(**config.model_dump()) == config
    assert {name: getattr(config, name) for name in implied(model, loss)} == implied(model, loss)


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


@pytest.mark.parametrize(("name", "value"), [("background", "white"), ("skip_broken", 3)])
def test_what_only_a_folder_has_a_use_for_is_refused_elsewhere(name: str, value: Any) -> None:
    assert getattr(RunConfig(data="folder:cats", **{name: value}), name) == value
    with pytest.raises(ConfigurationError, match=f"{name} must stay .* for data digits"):
        RunConfig(**{name: value})


def test_a_folder_without_a_number_of_images_takes_all_and_every_other_source_the_papers() -> None:
    assert RunConfig(data="folder:cats").training_images == "all"
    assert RunConfig(data="folder:cats", training_images=500).training_images == 500
    assert RunConfig().training_images == RunConfig(training_images=None).training_images == 2000  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^training_images must be a whole number \(.*, got 'some'$"):
        RunConfig(training_images="some")  # type: ignore[arg-type]
    for empty in ("folder:", "folder: "):
        with pytest.raises(ConfigurationError, match="data must be one of these"):
            RunConfig(data=empty)
