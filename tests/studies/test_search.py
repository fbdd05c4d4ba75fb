"""A search: its trials are those of an undisturbed one, however it was stopped; limits, goals and what is made of it."""

import math
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from conftest import MEASURED

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import run_name
from gan_lib.reporting.claims import FAILS, HOLDS, UNKNOWN
from gan_lib.runs.evaluation import CHOICE
from gan_lib.runs.record import Record, RunFolder, read_record
from gan_lib.studies import search_comparison as comparison
from gan_lib.studies.search import GENERATION, SAMPLERS, Search, Settings, Train, read_search, run_search
from gan_lib.studies.space import read_space

SPACE = {
    "model": ["gan", "small"],
    "width": {"low": 8, "high": 32, "step": 8},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": [0.0, 0.3],
    "epochs": 5,
}
COMPARED = '<h1 id="compared">'  # as it is displayed: in shown code the marks are escaped


def distance(config: RunConfig) -> float:
    """What a run comes to: best for a small network with a learning rate of 0.003."""
    return 2 + 10 * abs(math.log10(config.learning_rate / 0.003)) + 20 * (config.model == "gan") + 10 / config.epochs


def write(config: RunConfig, path: Path) -> Record:
    """A finished run, as the search makes them; one without dropout fails at a learning rate above 0.05."""
    if (path / "summary.json").exists():
        return read_record(path)
    folder = RunFolder(path)
    folder.create(config)
    seconds = config.epochs * (0.5 if config.model == "gan" else config.width / 16)
    losses = {"discriminator_loss": 0.5, "generator_loss": 1.0, "real_probability": 0.5, "generated_probability": 0.5}
    folder.append({"epoch": 1, **losses, "training_seconds": seconds, "other_seconds": 0.0})
    if config.learning_rate > 0.05 and not config.dropout:
        folder.finish("failed", "loss is not finite")
        return read_record(path)
    quality = {"frechet_distance": 1.1 * distance(config), **MEASURED}
    times = {"training_seconds": seconds, "evaluation_seconds": 1.0}
    folder.append_metrics({"epoch": config.epochs, **times, **quality, CHOICE: distance(config)})
    sizes = {"parameters": 2_950_161 if config.model == "gan" else 1000 * config.width}
    folder.finish("ok", training_seconds=seconds, total_seconds=seconds + 2, quality=quality,
                  quality_floor={"frechet_distance": 0.2}, **sizes)  # fmt: skip
    return read_record(path)


def trainer(folder: Path, stop_at: int = -1) -> Train:
    """What writes runs; at the given call, counted from 0, it is interrupted after three of them."""
    calls: Iterator[int] = iter(range(1_000_000))

    def train(configs: list[RunConfig]) -> Sequence[Record]:
        assert len(set(configs)) == len(configs)
        stop = next(calls) == stop_at
        records = [write(config, folder / "runs" / run_name(config)) for config in configs[: 3 if stop else None]]
        if stop:
            raise KeyboardInterrupt
        return records

    return train


def settings(**changes: Any) -> Settings:
    return Settings(**{"space": SPACE, "trials": 3 * GENERATION, **changes})


def trials(search: Search) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.state, trial.params, trial.values) for trial in search.study.get_trials()]


Make = Callable[..., Search]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make("name", **settings): a search that is over, below tmp_path."""
    return lambda name="a", **changes: run_search(settings(**changes), tmp_path / name, trainer(tmp_path / name))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_stopped_ends_with_the_trials_of_an_undisturbed_one(sampler: str, make: Make, tmp_path: Path) -> None:
    undisturbed = make("whole", sampler=sampler)
    assert len(trials(undisturbed)) >= 3 * GENERATION
    folder = tmp_path / "stopped"
    for _ in range(3):  # at the second call: each time a generation further
        with pytest.raises(KeyboardInterrupt):
            run_search(settings(sampler=sampler), folder, trainer(folder, stop_at=1))
    assert trials(run_search(settings(sampler=sampler), folder, trainer(folder))) == trials(undisturbed)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_killed_while_it_wrote_ends_with_the_same_trials(sampler: str, make: Make, tmp_path: Path) -> None:
    undisturbed = make("whole", sampler=sampler)
    journal = (tmp_path / "whole" / "journal.log").read_bytes()
    for share in (0.01, 0.2, 0.4, 0.61, 0.83, 0.99):
        folder = tmp_path / f"killed-{share}"
        shutil.copytree(tmp_path / "whole", folder, ignore=shutil.ignore_patterns("runs"))
        (folder / "journal.log").write_bytes(journal[: int(share * len(journal))])  # as a rule within a line
        (folder / "journal.log.lock").symlink_to(folder / "journal.log")  # Optuna's: it would wait for ever
        assert trials(run_search(settings(sampler=sampler), folder, trainer(folder))) == trials(undisturbed), share
    shutil.rmtree(tmp_path / "whole" / "runs")
    (tmp_path / "whole" / "journal.log").write_text("nonsense\nnonsense\n")
    with pytest.raises(RecordError, match=r"journal\.log is damaged .*: remove it"):
        read_search(tmp_path / "whole")


def test_another_seed_gives_other_trials_and_more_trials_begin_with_the_same(make: Make) -> None:
    first = make("a", longer=0)
    assert trials(make("b", seed=1))[0] != trials(first)[0]
    assert trials(make("a", trials=5 * GENERATION))[: len(trials(first))] == trials(first)
    assert trials(make("c", trials=5 * GENERATION, longer=0)) == trials(make("a", trials=5 * GENERATION))


def test_a_folder_with_another_search_is_left_alone(make: Make, tmp_path: Path) -> None:
    make("a")
    before = (tmp_path / "a" / "search.json").read_bytes()
    with pytest.raises(RecordError, match="another sampler and seed"):
        make("a", sampler="tpe", seed=3)
    assert (tmp_path / "a" / "search.json").read_bytes() == before


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_finds_better_runs_than_its_first_generation(sampler: str, make: Make) -> None:
    search = make(sampler=sampler, trials=12 * GENERATION, longer=0)
    first = search.runs[search.runs.number < GENERATION]
    last = search.runs[search.runs.number >= 10 * GENERATION]
    assert last.distance.median() < first.distance.median()
    assert (last.model == "small").mean() > 0.5


def test_the_front_has_what_nothing_betters(make: Make) -> None:
    search = make(trials=5 * GENERATION)
    assert search.front.seconds.is_monotonic_increasing and search.front.distance.is_monotonic_decreasing
    for row in search.runs.itertuples():
        assert ((search.front.seconds <= row.seconds) & (search.front.distance <= row.distance)).any()
    assert search.front.reported.tolist() == pytest.approx((1.1 * search.front.distance).tolist())


def test_limits_keep_runs_off_the_front_and_too_many_parameters_from_being_trained(make: Make, tmp_path: Path) -> None:
    search = make(max_parameters=1_000_000, max_seconds=7.0, trials=4 * GENERATION)
    refused = search.frame[search.frame.status == "refused"]
    assert set(refused.model) == {"gan"} and refused.reason.str.contains("2,950,161 parameters are more than 1,000,000").all()
    assert not list((tmp_path / "a" / "runs").glob("gan-*"))
    assert search.runs.seconds.max() > 7 >= search.best.seconds.max()
    assert search.front.seconds.max() <= 7
    assert (search.frame.number.notna() & (search.frame.status != "refused")).sum() >= 4 * GENERATION
    hopeless = make("b", max_parameters=1)
    assert hopeless.best.empty and "none within the limits" in hopeless.summary()


def test_a_run_that_failed_is_a_trial_without_values(make: Make) -> None:
    search = make(sampler="random", trials=8 * GENERATION)
    failed = search.frame[search.frame.status == "failed"]
    assert len(failed) and set(failed.reason) == {"loss is not finite"} and not failed.feasible.any()
    assert (failed.learning_rate > 0.05).all()


def test_the_best_tenth_is_trained_longer_within_the_limits(make: Make) -> None:
    search = make(trials=4 * GENERATION, max_seconds=20.0)
    tried, longer = search.best[search.best.number.notna()], search.frame[search.frame.number.isna()]
    assert 1 <= len(longer) <= math.ceil(len(tried) / 10)
    for row in longer.itertuples():
        assert row.epochs % 5 == 0 and 10 <= row.epochs <= 40
        assert row.seconds <= 20
        assert row.learning_rate in tried.head(math.ceil(len(tried) / 10)).learning_rate.tolist()
    assert search.best.run.iloc[0] in longer.run.tolist()
    assert make("b", longer=0).frame.number.notna().all()


def test_half_of_a_budget_is_for_the_longer_runs(make: Make) -> None:
    search = make(trials=1000, budget=400.0)
    spent = search.runs.groupby(search.runs.number.notna()).spent.sum()
    generation = GENERATION * 12  # at most
    assert 200 <= spent[True] < 200 + generation
    assert search.runs.spent.sum() <= 400
    whole = make("b", trials=1000, budget=400.0, longer=0)
    assert 400 <= whole.runs.spent.sum() < 400 + generation


@pytest.mark.parametrize(("name", "value"), [("sampler", "nsga"), ("cost", "second")])
def test_an_unknown_sampler_or_cost_is_answered_with_the_nearest(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown {name} '{value}': did you mean"):
        settings(**{name: value})


def test_the_cost_may_be_the_same_on_every_machine(make: Make) -> None:
    search = make(cost="flops")
    assert next(trial.values[1] for trial in search.study.get_trials() if trial.values) == search.frame.flops.iloc[0] > 1e9


def test_the_newest_search_is_found(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no search in"):
        comparison.newest_search(tmp_path)
    make("a")
    make("b")
    assert comparison.newest_search(tmp_path) == tmp_path / "b"


def test_the_hypervolume_is_the_area_between_the_front_and_the_corner() -> None:
    def volume(*points: tuple[float, float]) -> float:
        return comparison.hypervolume(pd.DataFrame(points, columns=["seconds", "reported"]), "seconds")

    assert comparison.CORNER["distance"], comparison.CORNER["seconds"] == (100, 1000)
    assert volume((100, 10)) == pytest.approx(1)  # a tenth of both
    assert volume((10, 50), (100, 10)) == pytest.approx(2 * math.log10(2) + math.log10(5))
    assert volume((10, 50), (100, 60)) == volume((10, 50))  # worse on unseen images than when it was chosen
    assert volume((2000, 10), (10, 200)) == volume() == 0


def test_progress_only_grows_and_ends_with_the_whole_search(make: Make) -> None:
    search = make(trials=6 * GENERATION)
    curve = comparison.progress(search)
    assert curve.spent.is_monotonic_increasing and curve.hypervolume.is_monotonic_increasing
    assert curve.spent.iloc[-1] == pytest.approx(search.runs.spent.sum())
    assert curve.best.iloc[-1] == search.best.reported.iloc[0]


def test_what_counts_is_found(make: Make) -> None:
    shares = comparison.importance(make(sampler="random", trials=12 * GENERATION, longer=0))
    assert shares.distance.idxmax() in ("learning_rate", "model") and shares.seconds.idxmax() in ("width", "model")
    assert comparison.importance(make("few", trials=1, longer=0)).empty


@pytest.mark.parametrize(
    ("genetic", "chance", "answer"),
    [
        ([3.0, 3.1, 3.2], [1.0, 1.1, 1.2], HOLDS),
        ([1.0, 1.1, 1.2], [3.0, 3.1, 3.2], FAILS),
        ([1.0, 3.0, 2.0], [2.0, 3.1, 1.0], UNKNOWN),
        ([3.0, 3.1], [1.0, 1.1], UNKNOWN),
    ],
)
def test_the_claim_is_judged_by_the_hypervolumes_at_the_same_budget(
    genetic: list[float], chance: list[float], answer: str
) -> None:
    def curves(volumes: list[float]) -> list[pd.DataFrame]:
        return [pd.DataFrame({"spent": [10.0, 20.0, 30.0 + at], "best": 1.0, "hypervolume": [0.0, 0.1, volume]})
                for at, volume in enumerate(volumes)]  # fmt: skip

    by_kind = {"nsga2": curves(genetic), "random": curves(chance)}
    assert comparison.claim(by_kind).answer == UNKNOWN  # only one of each was over when the first ended
    level = {kind: [curve.assign(spent=[10.0, 20.0, 30.0]) for curve in each] for kind, each in by_kind.items()}
    assert comparison.claim(level).answer == answer


def test_searches_are_compared_on_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "read_space", lambda changes: SPACE)
    monkeypatch.setattr(comparison, "BUDGET", 150.0)
    for seed in range(comparison.SEEDS):
        for kind in ("nsga2", "random"):
            assert comparison.make_search(kind, seed, tmp_path, trainer).startswith(f"{kind}-{seed}: ")
        assert comparison.make_search(comparison.HAND_MADE, seed, tmp_path, trainer).endswith(f"seed-{seed}: ok")
    by_kind = comparison.read_progress(tmp_path / "searches")
    assert {kind: len(curves) for kind, curves in by_kind.items()} == {"nsga2": 3, "random": 3, "hand-made": 3}
    page = comparison.publish_searches(tmp_path / "searches").read_text(encoding="utf-8")
    html = unescape(page)
    assert page.count("<h1") == 1 and "Warning" not in page
    assert page.index(COMPARED) < page.index("<h2>One of these searches</h2>") < page.index('<ul class="runs">')
    assert "Genetic algorithms optimise training" in html
    search = read_search(tmp_path / "searches" / "nsga2-0")
    commands = [f"gan-lib run {search.records[run].config.configuration} --preset paper" for run in search.best.run.head(10)]
    assert all(command in html for command in commands)
    for alt in ("s of training against Fréchet distance. On the front:", "The best distance and the hypervolume"):
        assert f'alt="{alt}' in html
    assert "optimal, CPU" in html  # the project's own configurations stand beside the front


def test_the_projects_own_space_can_be_searched_and_shown(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    run_search(Settings(read_space(), trials=1, longer=0, cost="usd"), folder, trainer(folder))
    page = comparison.publish_search(folder).read_text(encoding="utf-8")
    assert COMPARED not in page and "USD" in unescape(page)


def course(folder: Path) -> list[Any]:
    """What a search came to, to the last bit but for its times: proposals, losses and distances."""
    search = read_search(folder / "search" / "search")
    longer = search.frame.run[search.frame.number.isna()].tolist()
    losses = {name: (record.history["generator_loss"], record.metrics[CHOICE]) for name, record in search.records.items()}
    return [trials(search), longer, losses]


@pytest.mark.slow
def test_a_real_search_killed_three_times_or_with_two_workers_is_the_undisturbed_one(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        'training_images = 200\nepochs = 2\nthreads = 1\nmodel = ["gan", "small"]\nwidth = [4, 8]\n'
        "learning_rate = {low = 1e-4, high = 1e-2, log = true}\ndropout = [0.0, 0.3]\n"
    )
    options = ["--trials=16", "--cost=flops", "--longer=2", "--no-report", f"--space={tmp_path / 'space.toml'}"]

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gan_lib", "search", *options, f"--results-dir={tmp_path / name}", *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    begun = time.monotonic()
    assert start("whole").wait() == 0
    took = time.monotonic() - begun
    for _ in range(3):
        with start("killed") as process:
            time.sleep(random.uniform(0.15, 0.3) * took)  # noqa: S311
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not psutil.wait_procs(children, timeout=60)[1]
    assert start("killed").wait() == start("two", "--workers=2").wait() == 0
    assert course(tmp_path / "killed") == course(tmp_path / "two") == course(tmp_path / "whole")
