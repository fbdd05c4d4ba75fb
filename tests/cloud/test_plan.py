"""gan-lib cloud plan: hours and dollars that can be worked out by hand, limits that refuse, no account needed."""

from pathlib import Path

import pytest

from gan_lib.cloud import plan as planning
from gan_lib.cloud.plan import PRICES, price
from gan_lib.presets import ALL_CONFIGURATIONS, CONFIGURATIONS, configure
from gan_lib.reporting import paper

from .conftest import in_process

PAPER = [configure(name) for name in CONFIGURATIONS]
REFERENCE = Path(__file__).resolve().parents[2] / "results/reference"


def test_the_papers_seconds_give_table_4_and_what_it_costs(tmp_path: Path) -> None:
    plan = planning.make_plan(PAPER, "us-east-1", tmp_path)
    cpu, gpu = plan.machines
    assert [run.seconds["published"] for run in cpu.runs] == pytest.approx([44_400, 131_100])
    assert [run.seconds["published"] for run in gpu.runs] == pytest.approx([120, 135])
    overhead = (planning.SETUP_MINUTES["instances"] + planning.IDLE_MINUTES) / 60
    hours = overhead + (44_400 + 131_100 + 2 * planning.REPORT_SECONDS) / 3600
    assert cpu.hours("published") == pytest.approx(hours)
    assert cpu.usd(hours) == pytest.approx(0.408 * hours)
    assert cpu.hours("measured") is None, "without a reference run nothing is said of it"
    assert plan.usd() == pytest.approx(12 * (0.408 + 0.736))


def test_our_own_seconds_say_where_they_were_measured() -> None:
    cpu, gpu = planning.make_plan(PAPER, "us-east-1", REFERENCE).machines
    assert all(run.seconds["measured"] > 0 and "cores" in run.machine for run in cpu.runs)
    assert all("NVIDIA" in run.machine for run in gpu.runs if "measured" in run.seconds)


def test_twice_the_images_take_twice_as_long(tmp_path: Path) -> None:
    configs = [configure("gan-cpu"), configure("gan-cpu", training_images=4000)]
    (machine,) = planning.make_plan(configs, "us-east-1", tmp_path).machines
    once, twice = (run.seconds["published"] for run in machine.runs)
    assert twice / once == pytest.approx(2, rel=0.01)


def test_the_table_has_the_papers_machines_at_about_the_papers_price() -> None:
    for instance in paper.INSTANCES.values():
        known = price(instance.name, "us-east-1")
        assert known == pytest.approx(instance.usd_per_hour, rel=0.01)
    assert price("ml.c5.2xlarge", "eu-west-1") is None
    assert all(usd > 0 for prices in PRICES.values() for usd in prices.values())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--max-usd", "5"], ["max-usd must be at least 13.73", "got 5; --max-hours 4 would do"]),
        (["gan-cpu", "--max-usd", "0.1"], ["max-usd must be at least 4.90", "got 0.1"]),
        (["cgan-gpu", "--set", "epochs=100000", "--max-hours", "3"], ["max-hours must be at least 13", "got 3"]),
        (["--region", "eu-west-1", "--max-usd", "100"], ["max-usd cannot be promised in eu-west-1"]),
        (["gan-cpux"], ["did you mean 'gan-cpu'?"]),
        (["--on", "mars"], ["on must be instances or jobs, got 'mars'"]),
        (["--set", "data=folder:/tmp"], ["data must be digits, mnist or fashion-mnist"]),
        (["--name", "a--b"], ["name must be"]),
        (["--max-hours", "0"], ["max-hours"]),
    ],
)
def test_more_than_was_allowed_and_nonsense_are_refused_in_one_line(
    arguments: list[str], parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    done = in_process(capfd, "cloud", "plan", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for part in parts:
        assert part in done.stderr


def test_within_the_limits_it_is_shown(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    done = in_process(capfd, "cloud", "plan", "--max-usd", "5", "--max-hours", "4")
    assert done.returncode == 0, done.stderr
    for part in ("ml.c5.2xlarge", "ml.g4dn.xlarge", "by the paper's seconds", "at most: 4 h, 1.63 USD"):
        assert part in done.stdout
    assert "price unknown" in in_process(capfd, "cloud", "plan", "--region", "eu-west-1").stdout


def test_every_configuration_is_planned_and_asked_of_its_machine(tmp_path: Path) -> None:
    """The paper's seconds stand by the paper's own only."""
    names = (*ALL_CONFIGURATIONS, "gan-hinge-cpu")
    batch = planning.Batch(names, "paper", (0,))
    plan = planning.make_plan(batch.configs, "us-east-1", tmp_path)
    assert [machine.machine for machine in plan.machines] == batch.machines == ["cpu", "gpu"]
    for machine in plan.machines:
        own = [name for name in names if name.endswith(machine.machine)]
        assert batch.arguments(machine.machine)[: len(own) + 1] == [*own, "--preset"]
        assert [run.config.configuration for run in machine.runs] == own
        assert [run.config.configuration for run in machine.runs if "published" in run.seconds] == [
            name for name in own if name in CONFIGURATIONS
        ]
