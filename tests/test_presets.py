"""The named configurations, the presets, and the name of a run."""

import re
from pathlib import Path
from typing import Any

import pytest

from gan_lib.config import differences
from gan_lib.errors import ConfigurationError
from gan_lib.presets import (
    ALL_CONFIGURATIONS,
    CONFIGURATIONS,
    PRESETS,
    configure,
    epochs_for_few,
    parse_changes,
    parse_counts,
    parse_seeds,
    parse_sweep,
    run_name,
    variant,
)


def test_there_are_exactly_the_papers_four_configurations() -> None:
    assert list(CONFIGURATIONS) == ["gan-cpu", "cgan-cpu", "gan-gpu", "cgan-gpu"]
    assert [configure(name).configuration for name in CONFIGURATIONS] == list(CONFIGURATIONS)


@pytest.mark.parametrize(
    ("preset", "model", "epochs", "betas"),
    [
        ("paper", "gan", 1200, (0.9, 0.999)),
        ("paper", "cgan", 300, (0.9, 0.999)),
        ("quick", "gan", 150, (0.5, 0.999)),
        ("quick", "cgan", 30, (0.5, 0.999)),
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
            f"unknown configuration 'x': choose from {', '.join(ALL_CONFIGURATIONS)}",
        ),
        (("gan-cpu", "quik"), "unknown preset 'quik': did you mean 'quick'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("changes", [{"machine": "gpu"}, {"model": "cgan"}])
def test_model_and_machine_are_part_of_a_configurations_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="is part of the configuration's name"):
        configure("gan-cpu", **changes)


@pytest.mark.parametrize(
    ("name", "loss", "becomes"),
    [("cgan-cpu", "wgan", "cwgan-cpu"), ("wgan-gpu", "bce", "gan-gpu"), ("gan-cpu", "hinge", "gan-hinge-cpu")],
)
def test_another_loss_is_another_configuration_and_trains_as_its_article_does(name: str, loss: str, becomes: str) -> None:
    config = configure(name, "quick", loss=loss)
    assert config.configuration == becomes
    assert config == configure(becomes, "quick", loss=loss)
    steps = {"cwgan-cpu": 5, "gan-gpu": 1, "gan-hinge-cpu": 1}[becomes]
    assert config.critic_steps == steps


def test_none_means_as_the_preset_says() -> None:
    assert configure("cgan-cpu", "quick", initialisation=None, epochs=None) == configure("cgan-cpu", "quick")


def test_the_wasserstein_configurations_train_after_their_articles_but_for_step_and_start() -> None:
    critics = [name for name in ALL_CONFIGURATIONS if "wgan" in name]
    assert critics == ["wgan-cpu", "cwgan-cpu", "wgan-gpu", "cwgan-gpu"]
    for name in critics:
        for preset in PRESETS:
            config = configure(name, preset)
            assert (config.configuration, config.loss, config.scores, config.band) == (name, "wgan-gp", True, False)
            assert (config.learning_rate, config.adam_beta1, config.adam_beta2) == (3e-4, 0.0, 0.9)
            assert config.initialisation == ("glorot" if config.model == "cgan" else "pytorch")
            assert (config.critic_steps, config.penalty_weight, config.dropout) == (5, 10.0, 0.0)
    clipped = configure("cwgan-cpu", loss="wgan")
    assert (clipped.learning_rate, clipped.adam_beta1, clipped.adam_beta2, clipped.clip) == (5e-5, 0.0, 0.99, 0.01)
    assert run_name(configure("wgan-cpu", "quick")) == "wgan-cpu--quick/seed-0"
    assert run_name(clipped) == "cwgan-cpu--loss-wgan/seed-0"


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


LONG = "/photos" * 20


@pytest.mark.parametrize(("one", "other"), [("/a/b", "/a-b"), ("/A", "/a"), ("/ä", "/ö"), (f"{LONG}/a", f"{LONG}/b")])
def test_two_different_runs_never_share_a_folder_and_names_stay_short(one: str, other: str) -> None:
    names = {variant(configure("gan-cpu", data=f"folder:{path}")) for path in (one, other)}
    assert len(names) == 2
    assert max(map(len, names)) <= 60


def test_a_name_is_never_cut_through_a_value() -> None:
    config = configure("gan-cpu", "quick", data=f"folder:{LONG}", training_images=150, image_size=64, channels=3)
    assert re.fullmatch(r"quick-data-photos-training-images-150-channels-3-[0-9a-f]{8}", variant(config))


def test_a_groups_name_takes_the_place_of_what_sets_its_runs_apart() -> None:
    config = configure("gan-cpu", "quick", epochs=5, name="flowers.1")
    assert run_name(config) == "gan-cpu--flowers.1/seed-0"
    for name in ("Flowers", "a/b", "..", "a--b", "-a", "x" * 41):
        with pytest.raises(ConfigurationError, match=r"^name must be at most 40 lower-case letters, .* got "):
            configure("gan-cpu", name=name)


def test_the_seed_alone_makes_no_variant() -> None:
    assert variant(configure("cgan-gpu", seed=7)) == ""
    assert differences(configure("cgan-gpu", seed=7), configure("cgan-gpu")) == {}
    assert differences(configure("cgan-gpu", seed=7), configure("cgan-gpu"), ignore=()) == {"seed": (7, 0)}


def test_numbers_of_images_are_a_list() -> None:
    assert parse_counts("2000,20000") == [2000, 20000]
    assert parse_counts("") == []
    with pytest.raises(ConfigurationError, match="images must be whole numbers from 128"):
        parse_counts("2000,many")


def test_seeds_are_lists_and_ranges() -> None:
    assert parse_seeds("0") == [0]
    assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert parse_seeds("0,2,5") == [0, 2, 5]
    assert parse_seeds("3,1-3") == [3, 1, 2]


@pytest.mark.parametrize("text", ["", "a", "-1", "4-1", "0-", "1,,2", "0-99999", "²"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="seeds must be"):
        parse_seeds(text)


def test_changes_take_numbers_as_numbers_and_words_as_words() -> None:
    assert parse_changes(["epochs=50", "learning_rate=1e-4", "data=folder:/a=b"]) == {
        "epochs": 50,
        "learning_rate": 1e-4,
        "data": "folder:/a=b",
    }
    assert parse_changes(["epochs=None", "discriminator_learning_rate=null"]) == dict.fromkeys(
        ("epochs", "discriminator_learning_rate")
    )


def test_several_values_are_every_combination_of_them() -> None:
    assert parse_sweep(["width=16,24", "epochs=5", "loss=bce,hinge"]) == [
        {"width": width, "epochs": 5, "loss": loss} for width in (16, 24) for loss in ("bce", "hinge")
    ]
    assert parse_sweep([]) == [{}]
    assert parse_sweep(["data=folder:/a,b"]) == [{"data": "folder:/a,b"}]
    with pytest.raises(ConfigurationError, match="at most 1,000 combinations, got 1,100"):
        parse_sweep([f"epochs={','.join(map(str, range(1, 101)))}", f"width={','.join(map(str, range(2, 13)))}"])


def test_a_folder_of_images_is_named_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_changes(["data=folder:photos"]) == {"data": f"folder:{tmp_path / 'photos'}"}
    for name in ("photos", "digits"):
        (tmp_path / name).mkdir()
    assert parse_changes(["data=digits"]) == {"data": "digits"}
    with pytest.raises(ConfigurationError, match="try data=folder:photos"):
        parse_changes(["data=photos"])


def test_a_run_of_ones_own_images_is_named_after_their_number_only_where_it_was_chosen() -> None:
    every, few = (configure("gan-cpu", "quick", data="folder:cats", **changes) for changes in ({}, {"training_images": 2000}))
    assert run_name(every).startswith("gan-cpu--quick-data-cats-") and "all" not in run_name(every)
    assert run_name(every) != run_name(few)
    assert parse_changes(["data=folder:"]) == {"data": "folder:"}
    assert parse_changes(["data=folder:~nosuchuser/x"]) == {"data": "folder:~nosuchuser/x"}


@pytest.mark.parametrize(
    ("configuration", "changes", "images", "epochs"),
    [
        ("optimal-cpu", {}, 200, 600),  # quick: 60 epochs
        ("gan-cpu", {}, 999, 300),  # 150
        ("gan-cpu", {}, 1000, None),
        ("gan-cpu", {"epochs": 7}, 20, None),  # the user's own choice
    ],
)
def test_a_preset_is_longer_where_images_are_few(
    configuration: str, changes: dict[str, Any], images: int, epochs: int | None
) -> None:
    assert epochs_for_few(configure(configuration, "quick", **changes), images) == epochs
