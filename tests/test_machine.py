"""machine.py: the device that is really used, never another one."""

import getpass
import json
import socket
from collections.abc import Iterator

import pytest
import torch

from gan_lib.errors import MachineUnavailable
from gan_lib.machine import fingerprint, label, physical_cores, pick_device, set_threads, unavailable_reason

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
