"""The paper's published numbers: tables 1 to 4, the balance bands and the size of each model.

B. Moroz, L. Kabak, K. Rodna, Ye. Ruksov, "Comparison of different configurations of the GAN model based on the AWS cloud
computing service", Information Technology: Computer Science, Software Engineering and Cyber Security, 2022, no. 2,
pp. 61-78, doi:10.32782/IT/2022-2-7.
"""

from typing import NamedTuple

CITATION = "Moroz, Kabak, Rodna, Ruksov (2022), doi:10.32782/IT/2022-2-7"


class Instance(NamedTuple):
    """One line of Table 1: a SageMaker notebook instance type."""

    name: str
    cpu_cores: int
    gpu: str
    memory_gb: int
    storage_gb: int
    usd_per_hour: float


class Published(NamedTuple):
    """One configuration in Tables 2, 3 and 4."""

    seconds_per_epoch: float
    epochs_to_balance: int
    training_seconds: float


class ModelFacts(NamedTuple):
    """Both networks together: trainable parameters, and the size on disk in MB (2**20 bytes)."""

    parameters: int
    megabytes: float


class Band(NamedTuple):
    """A range of mean losses over an epoch, both ends included."""

    low: float
    high: float


INSTANCES = {
    "cpu": Instance("ml.c5.2xlarge", 8, "none used", 16, 5, 0.408),
    "gpu": Instance("ml.g4dn.xlarge", 4, "NVIDIA T4", 16, 5, 0.7364),
}
RESULTS = {
    "gan-cpu": Published(37, 1200, 44_400),
    "cgan-cpu": Published(437, 300, 131_100),
    "gan-gpu": Published(0.1, 1200, 120),
    "cgan-gpu": Published(0.45, 300, 135),
}
MODELS = {"gan": ModelFacts(2_950_161, 11.269), "cgan": ModelFacts(2_382_466, 9.201)}
# "The optimal balance". The paper does not say whether D's loss is the mean or the sum of its two halves.
DISCRIMINATOR_BAND, GENERATOR_BAND = Band(0.5, 0.6), Band(1.0, 1.1)
# How many times faster the GPU machine is, as the paper puts it (Table 2 gives 370 and 971).
GPU_SPEEDUP = {"gan": 370, "cgan": 971}


def cost_usd(seconds: float, machine: str) -> float:
    """Return the cost of `seconds` on the paper's instance for a machine, "cpu" or "gpu"."""
    return seconds / 3600 * INSTANCES[machine].usd_per_hour
