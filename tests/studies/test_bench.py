"""The plain baseline, the parts of the benchmark on a small config, and its report."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config

from gan_lib.config import RunConfig
from gan_lib.reporting import paper
from gan_lib.studies.baseline import Baseline, plain_networks
from gan_lib.studies.bench import (
    Bench,
    _compare,
    chart,
    grow,
    matrix_rate,
    read_benches,
    save_bench,
    speed_table,
)
from gan_lib.training.flops import flops_per_epoch
from gan_lib.training.models import build_pair, parameter_count

CPU = torch.device("cpu")
MODELS = ["gan", "cgan"]


@pytest.mark.parametrize("model", MODELS)
def test_the_baselines_networks_are_the_papers(model: str) -> None:
    plain = plain_networks(RunConfig(model=model))
    assert parameter_count(*plain) == paper.MODELS[model].parameters
    ours = build_pair(RunConfig(model=model))
    for one, other in zip(plain, ours, strict=True):
        assert [weight.shape for weight in one.parameters()] == [weight.shape for weight in other.parameters()]
    generator, discriminator = plain
    images = generator(torch.zeros(2, 100))
    assert images.shape == (2, 1, 28, 28)
    assert discriminator(images).shape == (2, 1)


@pytest.mark.parametrize("model", MODELS)
def test_the_baseline_learns(model: str) -> None:
    torch.manual_seed(1)
    config = tiny_config(model=model, learning_rate=0.001, adam_beta1=0.5)
    baseline = Baseline(config, torch.full((64, 1, 8, 8), -1.0))  # black
    networks = (baseline.generator, baseline.discriminator)
    before = [[weight.detach().clone() for weight in network.parameters()] for network in networks]
    losses = [baseline.train_epoch() for _ in range(12)]  # sums over batches of 24, 24 and 16
    assert all(map(math.isfinite, (loss for epoch in losses for loss in epoch)))
    assert losses[0][0] / 3 == pytest.approx(math.log(2), abs=0.1)  # D is undecided at first
    for network, old in zip(networks, before, strict=True):
        assert not any(map(torch.equal, network.parameters(), old))
    assert baseline.generator(torch.zeros(20, 10).uniform_(-1, 1)).mean().item() < -0.5  # from grey towards black


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_matrix_rate_is_one_that_a_computer_can_have(dtype: torch.dtype) -> None:
    assert 0.1 < matrix_rate(dtype, CPU, repeats=1) < 1e6  # GFLOP/s


@pytest.mark.parametrize("model", MODELS)
def test_a_comparison_holds_every_round_and_numbers_that_follow_from_them(model: str) -> None:
    said: list[str] = []
    config = tiny_config(model=model)
    facts = _compare(config, CPU, "fp32", rounds=3, rate=100.0, say=said.append)
    assert set(facts["seconds"]) == {"baseline", "ours"}  # eager is for GPUs
    for name, seconds in facts["seconds"].items():
        assert len(seconds) == 3
        assert min(seconds) > 0
        assert facts["median_seconds"][name] == sorted(seconds)[1]
    ours, baseline = facts["median_seconds"]["ours"], facts["median_seconds"]["baseline"]
    assert facts["times_faster"] == pytest.approx(baseline / ours)
    assert facts["images_per_second"] == pytest.approx(64 / ours)
    assert facts["gflop_per_epoch"] == pytest.approx(flops_per_epoch(config) / 1e9)
    assert facts["share_of_matrix_rate"] == pytest.approx(flops_per_epoch(config) / ours / 100e9)
    assert [line.split(",")[0] for line in said] == [f"{model}: round {number} of 3" for number in (1, 2, 3)]
    assert all("baseline" in line and "ours" in line for line in said)


@pytest.mark.parametrize(("compiles", "contestants"), [(True, {"baseline", "compiled", "ours"}), (False, {"baseline", "ours"})])
def test_torch_compile_is_measured_where_it_works(
    monkeypatch: pytest.MonkeyPatch, compiles: bool, contestants: set[str]
) -> None:
    def forward(*images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no C++ compiler")

    def compile_in_place(network: torch.nn.Module) -> None:
        if not compiles:
            monkeypatch.setattr(network, "forward", forward)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_in_place)
    printed: list[str] = []
    facts = _compare(tiny_config(), CPU, "fp32", rounds=1, rate=100.0, say=printed.append, compiled=True)
    assert set(facts["seconds"]) == set(facts["median_seconds"]) == contestants
    assert any("no C++ compiler" in line for line in printed) != compiles


@pytest.mark.parametrize("size", [40, 130])
def test_growth_repeats_the_digits_up_to_the_size_asked_for(size: int) -> None:
    facts: dict[str, Any] = grow(tiny_config(), "fp32", size)  # 64 digits to repeat
    assert facts["images"] == size
    assert facts["seconds"] > 0
    assert facts["microseconds_per_image"] == pytest.approx(facts["seconds"] / size * 1e6)
    assert facts["peak_memory_mb"] > 50  # PyTorch alone takes more


def test_a_model_without_plain_layers_is_measured_alone() -> None:
    facts = _compare(tiny_config(model="small", image_size=16), CPU, "fp32", rounds=1, rate=100.0, say=lambda text: None)
    assert (set(facts["seconds"]), facts["times_faster"]) == ({"ours"}, None)


REPORT: dict[str, Any] = {
    "machine": {"label": "Test CPU, 2 cores", "device": "cpu", "precision": "bf16"},
    "matrix_gflops": {"fp32": 150.0, "bf16": 400.0},
    "rounds": 3,
    "peak_memory_mb": 900.0,
    "models": {
        "gan": {
            "seconds": {"baseline": [1.0, 0.9, 1.1], "ours": [0.4, 0.5, 0.3]},
            "median_seconds": {"baseline": 1.0, "ours": 0.4},
            "times_faster": 2.5,
            "images_per_second": 5000.0,
            "gflop_per_epoch": 64.0,
            "share_of_matrix_rate": 0.4,
            "growth": [{"images": 2000, "seconds": 0.4, "microseconds_per_image": 200.0, "peak_memory_mb": 900.0}],
        }
    },
}


def test_a_report_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = save_bench(REPORT, tmp_path / "bench")
    assert path.name == "test-cpu-2-cores.json"
    (report,), problems = read_benches(tmp_path / "bench")
    assert problems == []
    assert report == Bench.model_validate(REPORT)
    assert (report.label, report.precision) == ("Test CPU, 2 cores", "bf16")


def test_a_report_that_is_not_whole_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    gan = REPORT["models"]["gan"]
    (tmp_path / "a.json").write_text("{")
    for name, changes in {
        "rounds": {"rounds": "many"},
        "models.gan": {"models": {"gan": {**gan, "median_seconds": {"baseline": 1.0}}}},
        "models.gan.gflop_per_epoch": {"models": {"gan": {**gan, "gflop_per_epoch": 10**400}}},
        "matrix_gflops": {"matrix_gflops": {"fp32": 1.0}},
    }.items():
        save_bench({**REPORT, **changes, "machine": {**REPORT["machine"], "label": name}}, tmp_path)
    save_bench(REPORT, tmp_path)
    benches, problems = read_benches(tmp_path)
    assert ([bench.label for bench in benches], len(problems)) == (["Test CPU, 2 cores"], 5)


def test_the_table_has_the_paper_and_its_machine_beside_the_measured_seconds() -> None:
    (line,) = speed_table([Bench.model_validate(REPORT)]).frame.to_dict("records")
    assert line["plain loop, s"] == 1.0
    assert line["gan-lib, s"] == 0.4
    assert line["times faster"] == 2.5
    assert line["share of the matrix rate"] == "40%"
    assert line["the paper, s (ml.c5.2xlarge)"] == "37"


def test_without_reports_the_table_says_what_to_do() -> None:
    assert "gan-lib bench" in speed_table([])._repr_html_()


def test_the_figure_says_its_numbers_in_words() -> None:
    figure = chart([Bench.model_validate(REPORT)])
    assert "GAN on Test CPU, 2 cores: 1.00 s plain, 0.400 s here, 2.50 times faster, 40% of the matrix rate" in figure.alt
    assert figure.png().startswith(b"\x89PNG")
