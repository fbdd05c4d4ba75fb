"""Search for the optimal configuration: Optuna proposes trials, trials are ordinary runs, and two goals are minimised.

One goal is the Fréchet distance at the end, to one half of the held-out images; the other is what training costs. Reported is
the distance to the other half, which no proposal was chosen by.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import run_name
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting import quality
from gan_lib.reporting.convergence import cost_usd
from gan_lib.reporting.quality_figures import frontier
from gan_lib.runs.evaluation import CHOICE
from gan_lib.runs.locks import Lock
from gan_lib.runs.record import Record, find_records
from gan_lib.runs.storage import check_file, read_json, refuse_outside, write_bytes, write_json
from gan_lib.studies.space import Space, check_space, lengthen, make_config, suggest
from gan_lib.text import first_line, nearest, shorten, show
from gan_lib.training.flops import flops_per_epoch
from gan_lib.training.models import build_pair, parameter_count

SAMPLERS = {"nsga2": "genetic algorithm (NSGA-II)", "random": "random search", "tpe": "TPE"}
COSTS = {"seconds": "s of training", "usd": "USD", "flops": "floating-point operations"}
GOALS = [StudyDirection.MINIMIZE] * 2  # distance and cost
GENERATION = 8  # trials that are proposed at once, so that one worker and many get the same ones
_NUMBERS = ("distance", "reported", "seconds", "usd", "flops", "parameters", "spent")
_MAY_CHANGE = ("trials", "budget", "longer")  # when a search is resumed
_JOURNAL, _LONGER = "journal.log", "longer"  # the file, and the study's list of longer runs
_MOST_JOURNAL = 2**30  # bytes: some thousand a trial

Train = Callable[[list[RunConfig]], Sequence[Record]]  # different configs -> their records, in the same order


@dataclass(frozen=True)
class Settings:
    """The settings of a search, kept as search.json in its folder. Raises ConfigurationError."""

    space: Space
    sampler: str = "nsga2"
    cost: str = "seconds"
    trials: int = 40  # to train, in whole generations
    budget: float | None = None  # seconds of all its runs together; half of them for the longer ones, where there are any
    max_seconds: float | None = None  # of a run's training
    max_usd: float | None = None
    max_parameters: int | None = None
    longer: int = 8  # times the epochs, for the best tenth at the end; 0: nothing longer
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (("sampler", self.sampler, SAMPLERS), ("cost", self.cost, COSTS)):
            if value not in known:
                raise ConfigurationError(f"unknown {name} {shorten(value)}{nearest(str(value), known)}")
        check_space(self.space)

    def excess(self, numbers: Mapping[str, Any]) -> dict[str, float]:
        """Return by how much a run exceeds each limit; 0 or less within the limit."""
        limits = {name: getattr(self, f"max_{name}") for name in ("seconds", "usd", "parameters") if name in numbers}
        return {name: numbers[name] - limit for name, limit in limits.items() if limit is not None}


@dataclass(frozen=True)
class Search:
    """A search as read from its folder."""

    settings: Settings
    study: optuna.Study
    frame: pd.DataFrame  # one row a trial, in order, then the longer runs, without a number: what was measured, and the config
    records: dict[str, Record]  # by name of the run

    @property
    def runs(self) -> pd.DataFrame:
        """Return the measured runs. Two trials may share one run."""
        return self.frame[self.frame.status == "ok"].drop_duplicates("run")

    @property
    def best(self) -> pd.DataFrame:
        """Return the measured runs within the limits, the smallest distance first."""
        return self.runs[self.runs.feasible.astype(bool)].sort_values("distance", kind="stable")

    @property
    def front(self) -> pd.DataFrame:
        """Return the Pareto front of distance and cost, the cheapest first."""
        return frontier(self.best, self.settings.cost, "distance")

    @property
    def is_over(self) -> bool:
        """Return whether the search has enough trials, has spent its budget, or finds nothing within the limits."""
        trials = self.frame[self.frame.number.notna()]
        trained = trials[trials.status != "refused"]
        spent = trained.drop_duplicates("run").spent.sum() * (2 if self.settings.longer else 1)
        hopeless = trained.empty and len(trials) >= 20 * GENERATION
        return bool(len(trained) >= self.settings.trials or spent >= (self.settings.budget or math.inf) or hopeless)

    def summary(self) -> str:
        """Return one line: the number of trials, the front, and the best distance."""
        count, cost = f"{self.frame.number.notna().sum()} trials", self.settings.cost
        if self.best.empty:
            return f"{count}, none within the limits yet"
        distance, price = map(show, self.best.iloc[0][["distance", cost]])
        return f"{count}, {len(self.front)} on the front; best distance {distance} after {price} {COSTS[cost]}"


def run_search(settings: Settings, folder: Path, train: Train, say: Callable[[str], None] = lambda line: None) -> Search:
    """Make or resume a search. A search that was stopped or killed ends with the same trials as an undisturbed one.

    say: gets a line after each generation. Raises RecordError where the folder holds a search of other settings or is being
    written, and what train raises.
    """
    with _claimed(folder, settings):
        study = _open_study(folder)
        while not read_search(folder).is_over:
            trials = _propose(study, settings)
            outcomes = _train(settings, trials, train)
            for trial in trials:
                _tell(study, settings, trial, outcomes[trial.number])
            say(read_search(folder).summary())
        if longer := _longer(read_search(folder)):
            known = study.user_attrs.get(_LONGER, [])
            study.set_user_attr(_LONGER, list(dict.fromkeys([*known, *map(run_name, longer)])))
            train(longer)
        return read_search(folder)


def read_search(folder: Path) -> Search:
    """Read a search from its folder, finished or not. Raises RecordError."""
    settings = _read_settings(folder)
    study = _open_study(folder)
    records = {record.name: record for record in find_records(folder / "runs")[0]}
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    lines = [_line(settings, trial, records.get(trial.user_attrs.get("run", ""))) for trial in finished]
    longer = [records[name] for name in study.user_attrs.get(_LONGER, ()) if name in records]
    lines += [{"number": None, **measure(settings, record)} for record in longer]
    columns = None if lines else ["number", "run", "status", "reason", *_NUMBERS, "feasible"]
    return Search(settings, study, pd.DataFrame(lines, columns=columns), records)


def _line(settings: Settings, trial: FrozenTrial, record: Record | None) -> dict[str, Any]:
    """Return the row of a finished trial. A trial that was not trained has only its proposed values."""
    run, reason = trial.user_attrs.get("run"), trial.user_attrs.get("reason")
    if record:
        return {"number": trial.number, **measure(settings, record)}
    about = {"number": trial.number, "run": run, "status": "removed" if run else "refused", "reason": reason, "feasible": False}
    return {**about, **dict.fromkeys(_NUMBERS, math.nan), **settings.space, **trial.params}


def measure(settings: Settings, record: Record) -> dict[str, Any]:
    """Return a run's status, both distances, its costs, and whether these are within the limits."""
    facts = record.summary
    numbers: dict[str, Any] = {
        "distance": (record.metrics.get(CHOICE) or [math.nan])[-1],
        "reported": quality.last(record).get(FRECHET, math.nan),
        "seconds": facts.get("training_seconds", math.nan),
        "usd": cost_usd(record) or math.nan,
        "parameters": facts.get("parameters", math.nan),
        "spent": facts.get("total_seconds", 0.0),
    }
    if settings.cost == "flops":  # counting them takes a moment
        numbers["flops"] = float(flops_per_epoch(record.config) * record.config.epochs)
    status, reason = record.status, record.reason
    if status == "ok" and not all(map(math.isfinite, numbers.values())):
        status, reason = "failed", str(facts.get("quality_about"))
    feasible = status == "ok" and all(excess <= 0 for excess in settings.excess(numbers).values())
    about = {"run": record.name, "status": status, "reason": reason, "feasible": feasible}
    return {**about, **numbers, **record.config.model_dump()}


def _propose(study: optuna.Study, settings: Settings) -> list[FrozenTrial]:
    """Return the trials of the next generation, or of one that a stop left incomplete."""
    known = study.get_trials(deepcopy=False)
    finished = [trial.state.is_finished() for trial in known]
    first = (finished.index(False) if False in finished else len(known)) // GENERATION * GENERATION
    for number in range(first, first + GENERATION):
        if number >= len(known) or not finished[number]:
            study.sampler = _sampler(settings, number)
            trial = Trial(study, known[number]._trial_id) if number < len(known) else study.ask()
            for name, entry in settings.space.items():  # of which a stop may have left some
                study.sampler = _sampler(settings, number, name)
                suggest(trial, {name: entry})
    return [trial for trial in study.get_trials(deepcopy=False)[first:] if not trial.state.is_finished()]


def _sampler(settings: Settings, number: int, name: str = "") -> BaseSampler:
    """Return a new sampler, seeded by trial and parameter, so that its draws do not depend on earlier ones."""
    seed = int(np.random.SeedSequence([settings.seed, number, *name.encode()]).generate_state(1)[0])
    if settings.sampler == "nsga2":
        return NSGAIISampler(population_size=GENERATION, seed=seed)
    if settings.sampler == "tpe":
        return TPESampler(n_startup_trials=GENERATION, seed=seed)
    return RandomSampler(seed=seed)


def _train(settings: Settings, trials: Sequence[FrozenTrial], train: Train) -> dict[int, Record | str]:
    """Train trials. Return by number the record, or the reason why a trial was not trained."""
    configs: dict[int, RunConfig] = {}
    refused: dict[int, Record | str] = {}
    for trial in trials:
        try:
            config = make_config(settings.space, trial.params, settings.seed)
        except ConfigurationError as error:  # two values that do not go together
            refused[trial.number] = str(error)
            continue
        count = parameter_count(*build_pair(config)) if settings.max_parameters else 0
        if settings.excess({"parameters": count}).get("parameters", 0) > 0:
            refused[trial.number] = f"{count:,} parameters are more than {settings.max_parameters:,}"
        else:
            configs[trial.number] = config
    different = list(dict.fromkeys(configs.values()))
    records = dict(zip(different, train(different) if different else (), strict=True))
    return {**refused, **{number: records[config] for number, config in configs.items()}}


def _tell(study: optuna.Study, settings: Settings, frozen: FrozenTrial, outcome: Record | str) -> None:
    """Tell Optuna how a trial ended."""
    study.sampler = _sampler(settings, frozen.number)
    trial = Trial(study, frozen._trial_id)
    values = None
    if isinstance(outcome, str):
        trial.set_user_attr("reason", outcome)
    else:
        measured = measure(settings, outcome)
        trial.set_user_attr("run", outcome.name)
        for name, excess in settings.excess(measured).items():
            trial.set_constraint(name, excess)
        if measured["status"] == "ok":
            values = [measured["distance"], measured[settings.cost]]
    study.tell(trial, values, state=None if values else TrialState.FAIL)


def _longer(search: Search) -> list[RunConfig]:
    """Return the best tenth of the trials with more epochs, as far as limits and budget allow."""
    settings = search.settings
    trials = search.best[search.best.number.notna()]
    room = (settings.budget or math.inf) - search.runs[search.runs.number.notna()].spent.sum()
    configs = []
    for row in trials.head(math.ceil(len(trials) / 10)).to_dict("records"):
        limits = {name: getattr(settings, f"max_{name}") for name in ("seconds", "usd")}
        most = [limit / row[name] for name, limit in limits.items() if limit]
        times = int(min(settings.longer, room / row["spent"], *most))
        if times > 1:
            room -= times * row["spent"]
            configs.append(lengthen(search.records[row["run"]].config, times))
    return configs


def _open_study(folder: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = _journal(folder)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.create_study(storage=storage, study_name="search", directions=GOALS, load_if_exists=True)
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        why = f"{journal} is damaged ({first_line(error)})"
        raise RecordError(f"{why}: remove it, and the same command makes it again from the runs") from error


def _journal(folder: Path) -> Path:
    """Return the journal's path. Raises RecordError where Optuna would follow a link out of the folder, or read a pipe."""
    journal = folder / _JOURNAL
    refuse_outside(journal, folder)
    if journal.exists():
        check_file(journal, _MOST_JOURNAL)
    return journal


def _read_settings(folder: Path) -> Settings:
    stored = read_json(folder / "search.json")
    try:
        return Settings(**{name: value for name, value in stored.items() if name != "schema_version"})
    except (TypeError, ConfigurationError) as error:
        raise RecordError(f"{folder / 'search.json'}: {first_line(error)}") from error


@contextlib.contextmanager
def _claimed(folder: Path, settings: Settings) -> Iterator[None]:
    """Lock a search's folder, write its settings, and remove half-written files of a killed process."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / "search.lock")
    lock.acquire()
    try:
        if (folder / "search.json").exists():
            before = _read_settings(folder)
            changed = [name for name, value in asdict(settings).items() if value != getattr(before, name)]
            if other := [name for name in changed if name not in _MAY_CHANGE]:
                raise RecordError(f"{folder} holds a search with another {' and '.join(other)}: use another name, or remove it")
        write_json(folder / "search.json", asdict(settings))
        for leftover in folder.glob(f"{_JOURNAL}.lock*"):  # Optuna's
            leftover.unlink()
        journal = _journal(folder)
        if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
            write_bytes(journal, content[: content.rfind(b"\n") + 1])
        yield
    finally:
        lock.release()
