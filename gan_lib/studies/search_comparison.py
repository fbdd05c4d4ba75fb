"""Analyse searches: the importance of parameters, progress by seconds, and a comparison of samplers."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from gan_lib.batch import pages, runner
from gan_lib.batch.notebooks import NOTEBOOKS, relative
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import configure
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting.claims import FAILS, HOLDS, UNKNOWN, Claim
from gan_lib.reporting.stats import cannot_be_told, difference, in_words, is_above
from gan_lib.runs.evaluation import CHOICE
from gan_lib.runs.record import Record, find_records
from gan_lib.studies.search import GENERATION, GOALS, SAMPLERS, Search, Settings, Train, read_search, run_search
from gan_lib.studies.space import read_space

CORNER = {"distance": 100.0, "seconds": 1000.0, "usd": 0.1, "flops": 1e15}  # the worst values that a hypervolume counts
# make searches: searches of each kind, and seconds of the runs of one search.
SEEDS, BUDGET = 3, 140.0
# Of the project's space: short runs of small networks, so that a search of this budget has several generations.
CHANGES = ("model=gan,small", "loss=bce,hinge,rpgan", "epochs=2,4", "width=8,12,16", "batch_size=32,64", "r1_weight=0,1",
           "r2_weight=0,1", "penalty_weight=10", "penalty_every=4")  # fmt: skip
HAND_MADE = "hand-made"
HAND_MADE_RUN = {"epochs": 72, "evaluate_every": 4, "sample_every": 72, "threads": 1, "keep": "best"}  # takes about BUDGET
_PROGRESS = ["spent", "best", "hypervolume"]
NAMES = {**SAMPLERS, HAND_MADE: "the hand-made optimal configuration"}


def newest_search(folder: Path) -> Path:
    """The folder of the newest search. Raises RecordError where none is."""
    searches = sorted(folder.glob("*/search.json"), key=lambda path: path.stat().st_mtime)
    if not searches:
        raise RecordError(f"no search in {folder} yet: gan-lib search makes one")
    return searches[-1].parent


def importance(search: Search) -> pd.DataFrame:
    """Return the importance of each parameter by Optuna's PED-ANOVA: shares, one column per goal."""
    goals = ("distance", search.settings.cost)
    numbers = set(search.best.number)
    trials = [trial for trial in search.study.get_trials(deepcopy=False) if trial.number in numbers]
    if len(trials) <= GENERATION:
        return pd.DataFrame(columns=list(goals))
    copy = optuna.create_study(directions=GOALS)
    copy.add_trials(trials)

    def shares(goal: int) -> dict[str, float]:
        return optuna.importance.get_param_importances(copy, target=lambda trial: trial.values[goal])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that small values are taken for good ones, as they are
        return pd.DataFrame({name: shares(goal) for goal, name in enumerate(goals)})


def hypervolume(front: pd.DataFrame, cost: str) -> float:
    """Return the hypervolume of a front (cheapest first) up to CORNER, in powers of ten of both goals: larger is better."""
    area, height = 0.0, math.log10(CORNER["distance"])
    for distance, price in zip(front.reported, front[cost], strict=True):
        width, gained = math.log10(CORNER[cost] / price), height - math.log10(distance)
        if width > 0 and gained > 0:
            area, height = area + width * gained, height - gained
    return area


def progress(search: Search) -> pd.DataFrame:
    """Return seconds spent, best distance and hypervolume after each run, on images that played no part in the search."""
    lines = []
    for count in range(1, len(search.runs) + 1):
        so_far = replace(search, frame=search.runs.head(count))
        best = so_far.best.reported.iloc[0] if len(so_far.best) else math.nan
        lines.append((so_far.runs.spent.sum(), best, hypervolume(so_far.front, search.settings.cost)))
    return pd.DataFrame(lines, columns=_PROGRESS)


def of_run(record: Record) -> pd.DataFrame:
    """Return the same for one run with several measurements. Each stands for a run of that length, measured once."""
    columns = {"seconds": "training_seconds", "reported": FRECHET, "chosen_by": CHOICE, "measuring": "evaluation_seconds"}
    frame = pd.DataFrame({name: record.metrics[column] for name, column in columns.items()})
    lines = []
    for count in range(1, len(frame) + 1):
        so_far, last = frame.head(count), frame.iloc[count - 1]
        best = so_far.reported.iloc[int(so_far.chosen_by.argmin())]
        lines.append((last.seconds + last.measuring, best, hypervolume(so_far, "seconds")))
    return pd.DataFrame(lines, columns=_PROGRESS)


def read_progress(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Return the progress of all searches in a folder by sampler, and of the runs of the hand-made configuration."""
    by_kind: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*/search.json")):
        search = read_search(path.parent)
        by_kind.setdefault(search.settings.sampler, []).append(progress(search))
    if hand_made := [record for record in find_records(folder / HAND_MADE / "runs")[0] if record.status == "ok"]:
        by_kind[HAND_MADE] = [of_run(record) for record in hand_made]
    return by_kind


def at(seconds: float, curves: Sequence[pd.DataFrame], column: str) -> list[float]:
    """Return a column of each curve after a number of seconds. A curve that starts later has no value."""
    lines = [curve[curve.spent <= seconds] for curve in curves]
    return [float(line[column].iloc[-1]) for line in lines if len(line) and math.isfinite(line[column].iloc[-1])]


def shared_budget(by_kind: dict[str, list[pd.DataFrame]]) -> float:
    """Return the seconds that all searches reached."""
    return min((curve.spent.max() for kind, curves in by_kind.items() if kind != HAND_MADE for curve in curves), default=0.0)


def claim(by_kind: dict[str, list[pd.DataFrame]]) -> Claim:
    """Judge the paper's prospect: the hypervolume of the genetic algorithm and of random search at the same budget."""
    budget = shared_budget(by_kind)
    genetic, chance = (at(budget, by_kind.get(name, ()), "hypervolume") for name in ("nsga2", "random"))
    interval = difference(genetic, chance)
    above = is_above(interval)
    because = cannot_be_told(len(genetic), len(chance))
    if interval:
        because = f"the front's hypervolume after {budget:.0f} s, less that of random search: {in_words(interval)}"
    return Claim("Genetic algorithms optimise training", {True: HOLDS, False: FAILS, None: UNKNOWN}[above], because)


def trainer(folder: Path, **options: Any) -> Train:
    """Return the function that trains the runs of a search in its folder. options: as for run_batch."""

    def train(configs: list[RunConfig]) -> list[Record]:
        return runner.run_batch(runner.plan(configs, folder), **options)

    return train


def make_search(kind: str, seed: int, results: Path, train_into: Callable[[Path], Train] = trainer) -> str:
    """Make one of the searches that are compared, or one run of the hand-made configuration; returns a line on its result."""
    folder = results / "searches"
    if kind == HAND_MADE:
        (record,) = train_into(folder / kind)([configure("optimal-cpu", "paper", **HAND_MADE_RUN, seed=seed)])
        return f"{record.name}: {record.status}"
    settings = Settings(read_space(changes=CHANGES), kind, trials=10_000, budget=BUDGET, longer=0, seed=seed)
    target = folder / f"{kind}-{seed}"
    return f"{target.name}: {run_search(settings, target, train_into(target)).summary()}"


def publish_search(folder: Path) -> Path:
    """Execute the notebook on one search; returns its page, search.html."""
    parameters = {"search_dir": relative(folder, NOTEBOOKS)}
    return pages.report("05_search.ipynb", parameters, folder / "search.html", f"The search {folder.name}")


def publish_searches(folder: Path) -> Path:
    """Execute it on all searches in a folder, the first genetic one in detail; returns the page, searches.html."""
    own = relative(folder, NOTEBOOKS)
    parameters = {"search_dir": relative(folder / "nsga2-0", NOTEBOOKS), "compare_dir": own, "save_dir": own}
    return pages.report("05_search.ipynb", parameters, folder / "searches.html", "Searches compared")
