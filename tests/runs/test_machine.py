"""The device that is really used, never another one."""

import getpass
import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from gan_lib.errors import ConfigurationError, MachineUnavailable
from gan_lib.runs import machine
from gan_lib.runs.machine import (
    Clocks,
    Neighbours,
    cpu_quota,
    fastest_threads,
    fingerprint,
    label,
    physical_cores,
    pick_device,
    pick_precision,
    processor,
    set_threads,
    unavailable_reason,
)


class Times(NamedTuple):
    """Seconds of all cores, as psutil gives them."""

    user: float
    idle: float
    iowait: float
    guest: float


without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")


@pytest.fixture
def threads_put_back() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_cpu_configuration_runs_everywhere() -> None:
    assert unavailable_reason("cpu") is None
    assert pick_device("cpu") == torch.device("cpu")


@without_gpu
def test_a_gpu_configuration_is_refused_without_a_gpu_and_not_moved_to_the_cpu() -> None:
    reason = unavailable_reason("gpu")
    assert reason is not None
    assert "needs a CUDA GPU" in reason
    with pytest.raises(MachineUnavailable) as caught:
        pick_device("gpu")
    assert str(caught.value) == f"machine 'gpu' {reason}"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
def test_a_gpu_configuration_takes_the_gpu() -> None:
    assert unavailable_reason("gpu") is None
    assert pick_device("gpu").type == "cuda"
    assert fingerprint(pick_device("gpu"))["label"] == torch.cuda.get_device_name()


# bf16 is in GPUs of compute capability 8.0 and later, fast fp16 in those from 7.0 on: the paper's T4 has 7.5.
@pytest.mark.parametrize(
    ("capability", "auto"), [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_a_gpu_computes_in_what_its_hardware_multiplies(
    capability: tuple[int, int], auto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda")
    assert [pick_precision(name, gpu) for name in ("auto", "fp32", "fp16")] == [auto, "fp32", "fp16"]
    if auto != "bf16":
        with pytest.raises(ConfigurationError, match="got 'bf16'"):
            pick_precision("bf16", gpu)


@pytest.mark.parametrize(
    ("flags", "auto"), [("avx512f amx_bf16 avx", "bf16"), ("avx512_bf16", "bf16"), ("avx2 avx512f", "fp32")]
)
def test_a_cpu_computes_in_what_its_hardware_multiplies(flags: str, auto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_read", lambda path: f"flags : {flags}")
    assert pick_precision("auto", torch.device("cpu")) == auto
    with pytest.raises(ConfigurationError, match="got 'fp16'"):
        pick_precision("fp16", torch.device("cpu"))


@pytest.mark.usefixtures("threads_put_back")
def test_threads_are_as_many_as_asked_for_and_0_means_the_physical_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN_LIB_THREADS")
    assert set_threads(1) == 1 == torch.get_num_threads()
    assert set_threads(2) == 2 == torch.get_num_threads()
    assert set_threads(0) == physical_cores() == torch.get_num_threads()
    assert physical_cores() >= 1


@pytest.mark.parametrize(
    ("cores", "others", "seconds", "threads"),
    [
        (2, 0.1, {}, 2),  # a quiet machine is not tried
        (1, 0.9, {}, 1),
        (2, 0.5, {2: 4.0, 1: 1.0}, 1),
        (2, 0.5, {2: 1.29, 1: 1.0}, 2),  # not worth it
        (2, 1.0, {2: 1.3, 1: 1.0}, 1),
        (16, 0.25, {16: 2.0, 12: 1.0}, 12),
    ],
)
def test_a_run_takes_fewer_threads_where_others_keep_cores_busy_and_fewer_are_faster(
    monkeypatch: pytest.MonkeyPatch, cores: int, others: float, seconds: dict[int, float], threads: int
) -> None:
    monkeypatch.setattr(machine, "physical_cores", lambda: cores)
    monkeypatch.setattr(machine, "_seconds_of_products", lambda tried: {number: seconds[number] for number in tried})
    assert fastest_threads(others) == threads


def test_the_trial_of_threads_leaves_their_number_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "physical_cores", lambda: 2)
    before = torch.get_num_threads()
    assert fastest_threads(0.5) in (1, 2)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({}, math.inf),
    ],
)
def test_a_containers_share_of_the_cpu_is_read_from_either_version(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    assert cpu_quota(tmp_path) == quota


@pytest.mark.usefixtures("threads_put_back")
def test_the_fingerprint_says_what_ran_as_plain_json_and_nothing_about_the_person() -> None:
    set_threads(1)
    facts = fingerprint(torch.device("cpu"))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["device"] == "cpu"
    assert facts["threads"] == 1
    assert facts["physical_cores"] == physical_cores()
    assert facts["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {"cpu", "memory_gb", "platform", "python", "git_commit", "git_dirty"} <= facts.keys()
    strings = [value for value in facts.values() if isinstance(value, str)]
    assert not {socket.gethostname(), getpass.getuser()} & set(strings)
    assert not any("/home/" in value or "/root" in value for value in strings)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"device": "cpu", "cpu": "AMD EPYC", "physical_cores": 2}, "AMD EPYC, 2 cores"),
        ({"device": "cpu", "cpu": "AMD EPYC", "physical_cores": 1}, "AMD EPYC, 1 core"),
        ({"device": "cuda", "gpu": "NVIDIA T4", "cpu": "Xeon", "physical_cores": 4}, "NVIDIA T4"),
    ],
)
def test_a_machine_is_labelled_by_what_did_the_work(facts: dict[str, object], words: str) -> None:
    assert label(facts) == words


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nstepping\t: 1\n" * 2, "AMD EPYC (family 25, model 1)"),
        (
            "cpu family : 6\nmodel : 85\nmodel name : Intel(R) Xeon(R) Platinum 8124M CPU @ 3.00GHz\n",
            "Intel Xeon Platinum 8124M",
        ),
        ("model name : Cortex\n", "Cortex"),
    ],
)
def test_processors_that_share_a_name_are_told_apart(cpuinfo: str, name: str) -> None:
    assert processor(cpuinfo) == name


def test_neighbours_share_is_what_all_cores_did_less_what_this_process_did(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = iter((Times(10, 80, 5, 0), Times(18, 88, 7, 2)))  # the 2 of guests are in the 18 of users
    own = iter((1.0, 4.0))
    process = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=next(own), system=0.5))
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: next(cores))
    monkeypatch.setattr(machine.psutil, "Process", lambda: process)
    assert Neighbours().share() == pytest.approx((8 - 3) / (8 + 8 + 2))


def test_clocks_tell_training_from_the_rest_and_add_what_an_earlier_process_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now)
    clocks = Clocks()
    now += 10
    clocks.trained(7)
    assert clocks.other() == pytest.approx(3)
    now += 1
    assert clocks.other() == pytest.approx(1)
    assert clocks.total() == pytest.approx(11)
    clocks.add(60)
    assert clocks.total() == pytest.approx(71)
    clocks.trained(1000)  # training that began before this process
    assert clocks.other() == 0
