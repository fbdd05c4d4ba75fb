"""The machine that a run uses: its device, threads and clocks, and a fingerprint for the record."""

import importlib.metadata
import math
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from gan_lib.errors import ConfigurationError, MachineUnavailable

_PACKAGES = (
    *("torch", "torchvision", "numpy", "pydantic", "safetensors", "mlxtend"),
    *("papermill", "nbconvert", "pandas", "matplotlib"),
)

BUSY = 0.2  # CPU share of other programs from which on timings count as disturbed
_WORTH = 1.3  # fewer threads are used only if they are this many times faster


def unavailable_reason(machine: str) -> str | None:
    """Return why this machine cannot run a "cpu" or "gpu" configuration, or None if it can."""
    if machine == "cpu" or torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"needs a CUDA GPU, and this PyTorch ({torch.__version__}) is built for the CPU only"
    return "needs a CUDA GPU, and PyTorch finds none here"


def pick_device(machine: str) -> torch.device:
    """Return the device of a configuration's machine. Raises MachineUnavailable if this machine has none."""
    reason = unavailable_reason(machine)
    if reason:
        raise MachineUnavailable(f"machine {machine!r} {reason}")
    if machine == "gpu":
        torch.backends.cudnn.deterministic = True  # the same seed gives the same run
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32, in convolutions as in matrix products
    return torch.device("cuda" if machine == "gpu" else "cpu")


def set_threads(threads: int) -> int:
    """Use this many CPU threads (0: GAN_LIB_THREADS, which a batch gives each of its runs, or one for each physical core).

    Returns the number in use. Denormal numbers are not flushed to zero: that did not change the time of a step.
    """
    torch.set_num_threads(threads or given_threads() or physical_cores())
    return torch.get_num_threads()


def given_threads() -> int:
    """Return the threads that a batch gives each run (GAN_LIB_THREADS); 0 if it is unset."""
    return int(os.environ.get("GAN_LIB_THREADS", 0))


def fastest_threads(others: float) -> int:
    """Choose the CPU threads for a run: one for each physical core, or fewer if other programs keep cores busy.

    others: share of all cores' time that other programs take, in [0, 1]. A thread that waits for a core delays all the
    others: with one busy program on two cores, two threads take up to four times the seconds of one. So if `others` is at
    least a fifth, one second of matrix products compares both numbers. The smaller one wins if it is 1.3 times faster.
    """
    cores = physical_cores()
    free = max(1, round(cores * (1 - others)))
    if others < BUSY or free == cores:
        return cores
    before = torch.get_num_threads()
    try:
        seconds = _seconds_of_products((cores, free))
    finally:
        torch.set_num_threads(before)
    return free if seconds[cores] >= _WORTH * seconds[free] else cores


def _seconds_of_products(threads: Sequence[int], each: float = 0.1, turns: int = 5) -> dict[int, float]:
    """Measure a matrix product of a layer's size: median seconds by number of threads. each: seconds per turn."""
    images, weights = torch.ones(256, 1024), torch.ones(1024, 1024)  # draws no random numbers
    seconds: dict[int, list[float]] = {number: [] for number in threads}
    for number in [*threads] * turns:
        torch.set_num_threads(number)
        start, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < each or not count:
            (images @ weights).relu_()
            count += 1
        seconds[number].append(passed / count)
    return {number: statistics.median(values) for number, values in seconds.items()}


def pick_precision(precision: str, device: torch.device) -> str:
    """Return the precision to use on a device: "fp32", "bf16" or "fp16".

    "auto" is bf16 where the hardware multiplies it (AVX512-BF16 or AMX on a CPU, compute capability 8 on a GPU), fp16 with a
    scaled loss on GPUs of capability 7 (V100, T4), else fp32. Raises ConfigurationError if the device does
    not support the configured precision.
    """
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)  # PyTorch reports bf16 as supported even if it is emulated
        possible = {"fp32": True, "bf16": capability >= (8, 0), "fp16": True}
        usual = "bf16" if possible["bf16"] else "fp16" if capability >= (7, 0) else "fp32"
    else:
        possible = {"fp32": True, "bf16": bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", _read("/proc/cpuinfo"))), "fp16": False}
        usual = "bf16" if possible["bf16"] else "fp32"
    if precision == "auto":
        return usual
    if not possible[precision]:
        choices = ", ".join(name for name, able in possible.items() if able)
        raise ConfigurationError(f"precision must be auto or {choices} (what this {device.type} multiplies), got {precision!r}")
    return precision


def physical_cores() -> int:
    """Count the physical cores that this process may use. Hyper-threads share the units for matrix products."""
    threads = psutil.cpu_count() or 1
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else threads  # macOS has no cpu_affinity
    threads_per_core = max(1, round(threads / (psutil.cpu_count(logical=False) or threads)))
    return max(1, int(min(math.ceil(allowed / threads_per_core), cpu_quota())))


def cpu_quota(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return how many CPUs a container may use, by its control group (version 1 or 2); infinite without a limit."""
    limit = _read(groups / "cpu.max")  # version 2: "200000 100000" or "max 100000"
    if not limit:
        limit = " ".join(_read(groups / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))  # version 1; -1: none
    match = re.fullmatch(r"(\d+) ([1-9]\d*)", limit)
    return int(match[1]) / int(match[2]) if match else math.inf


def fingerprint(device: torch.device) -> dict[str, Any]:
    """Return hardware, driver and versions of this machine as JSON values. No host or user name: records are shared."""
    facts: dict[str, Any] = {
        "device": device.type,
        "cpu": processor(_read("/proc/cpuinfo")),
        "physical_cores": physical_cores(),
        "logical_cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": torch.get_num_threads(),
        "load_average_before": round(psutil.getloadavg()[0], 2),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        **_git_state(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "gpu_memory_gb": round(properties.total_memory / 2**30, 1),
            "gpu_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0] or None,
        }
    facts["label"] = label(facts)
    return facts


class Neighbours:
    """Measure the CPU share of other programs during a run. Timings beside busy programs are not reliable."""

    def __init__(self) -> None:
        self._start = _cpu_seconds()

    def share(self) -> float | None:
        """Return the share of all cores' time that others used since the start, in [0, 1]; None before any time has passed."""
        busy, total, own = (after - before for after, before in zip(_cpu_seconds(), self._start, strict=True))
        return min(1.0, max(0.0, (busy - own) / total)) if total > 0 else None


def _cpu_seconds() -> tuple[float, float, float]:
    """Return the CPU seconds so far: busy (all cores), total (all cores), and this process."""
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in Linux part of user and nice
    total = sum(times) - guests
    return total - times.idle - getattr(times, "iowait", 0.0), total, own.user + own.system


class Clocks:
    """Count the seconds of training and of everything else, from its creation on."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._training = 0.0

    def trained(self, seconds: float) -> None:
        """Count this much of the time since the last reading as training."""
        self._training += seconds

    def other(self) -> float:
        """Return the seconds since the last reading that were not training."""
        now = time.perf_counter()
        seconds, self._last, self._training = now - self._last - self._training, now, 0.0
        return max(0.0, seconds)

    def add(self, seconds: float) -> None:
        """Count the seconds of an earlier process."""
        self._start -= seconds

    def total(self) -> float:
        """Return the seconds of all processes that trained this run, without the time between a stop and its resume."""
        return time.perf_counter() - self._start


def label(facts: dict[str, Any]) -> str:
    """Name the machine for tables: "AMD EPYC, 2 cores" or "NVIDIA T4"."""
    if facts.get("device") == "cuda":
        return str(facts.get("gpu", "GPU"))
    cores = facts.get("physical_cores")
    return f"{facts.get('cpu', 'CPU')}, {cores} core{'' if cores == 1 else 's'}"


def processor(cpuinfo: str) -> str:
    """Return the processor's name, from Linux's /proc/cpuinfo if present.

    Many processors share a name without a number ("AMD EPYC" in virtual machines): family and model are added.
    """
    facts = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE))
    name = facts.get("model name") or platform.processor() or platform.machine() or "CPU"
    name = re.sub(r"\((R|TM)\)| CPU| Processor|@.*|\s+$", "", name).strip()
    if re.search(r"\d", name) or not {"cpu family", "model"} <= facts.keys():
        return name
    return f"{name} (family {facts['cpu family']}, model {facts['model']})"


def _git_state() -> dict[str, Any]:
    """Return the commit of the code in use, and whether files differ from it; both None outside a git checkout."""
    here = str(Path(__file__).resolve().parents[2])
    commit = _output("git", "-C", here, "rev-parse", "--short=12", "HEAD") or None
    # Results are not code: a new record is not a local change.
    changed = _output("git", "-C", here, "status", "--porcelain", "--", ".", ":!results") if commit else ""
    return {"git_commit": commit, "git_dirty": bool(changed) if commit else None}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
