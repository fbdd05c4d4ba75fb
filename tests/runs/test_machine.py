"""The device that is really used, never another one."""

import getpass
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gan_lib.errors import MachineUnavailable
from gan_lib.runs.machine import (
    Neighbours,
    fingerprint,
    label,
    physical_cores,
    pick_device,
    processor,
    set_threads,
    unavailable_reason,
)

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


@pytest.mark.usefixtures("threads_put_back")
def test_threads_are_as_many_as_asked_for_and_0_means_the_physical_cores() -> None:
    assert set_threads(1) == 1 == torch.get_num_threads()
    assert set_threads(2) == 2 == torch.get_num_threads()
    assert set_threads(0) == physical_cores() == torch.get_num_threads()
    assert physical_cores() >= 1


@pytest.mark.usefixtures("threads_put_back")
def test_the_fingerprint_says_what_ran_as_plain_json() -> None:
    set_threads(1)
    facts = fingerprint(torch.device("cpu"))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["device"] == "cpu"
    assert facts["threads"] == 1
    assert facts["physical_cores"] == physical_cores()
    assert facts["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {"cpu", "memory_gb", "platform", "python", "git_commit", "git_dirty"} <= facts.keys()


def test_the_fingerprint_tells_nothing_about_the_person() -> None:
    strings = [value for value in fingerprint(torch.device("cpu")).values() if isinstance(value, str)]
    assert socket.gethostname() not in strings
    assert getpass.getuser() not in strings
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


def test_neighbours_share_of_the_cpu_is_what_others_take() -> None:
    idle = Neighbours()
    time.sleep(0.5)
    own = idle.share()
    if own is None:
        pytest.skip("this system does not say how busy it is")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            time.sleep(0.3)
            shared = Neighbours()
            time.sleep(1.0)
            share = shared.share()
        finally:
            busy.kill()
    assert share is not None
    assert 0.5 / (os.cpu_count() or 1) < share <= 1.0  # one core's worth, or most of it on a busy machine
    assert 0.0 <= own <= 1.0


def test_what_this_process_does_itself_is_not_its_neighbours() -> None:
    cores, block = os.cpu_count() or 1, b"x" * 2**24
    shared, start, used = Neighbours(), time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(cores) as pool:  # hashing lets go of Python's lock: all cores are busy with it
        list(pool.map(lambda _: [hashlib.sha256(block) for _ in range(40)], range(cores)))
    own = (time.process_time() - used) / (time.perf_counter() - start) / cores
    assert own > 0.3
    assert (shared.share() or 0.0) <= 1 - own + 0.15
