"""A notebook instance made of folders: the real scripts run in it, with stand-ins for the programs around them."""

import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIFECYCLE = REPOSITORY / "lifecycle"
STAND_IN = Path(__file__).with_name("stand_in.sh")
PROGRAMS = ["sudo", "setsid", "aws", "git", "curl", "nvidia-smi", "systemctl", "ps", "df", "sleep"]
# what the hooks get from SageMaker, the relative "bin" included
HOOK_PATH = "/sbin:bin:/usr/sbin:/usr/bin"

ENVIRONMENT_YML = """\
name: gan-lib
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
      - -r requirements.lock
      - -e .
"""
LOCK = """\
cuda-bindings==13.5.0 ; sys_platform == 'linux'
numpy==2.4.1
nvidia-cudnn-cu13==9.20.0.48 ; sys_platform == 'linux'
torch==2.14.1
torchmetrics==1.9.0
torchvision==0.29.1
triton==3.8.0 ; sys_platform == 'linux'
"""


class Sandbox:
    """Its root stands for / of the instance; `bucket` for S3."""

    def __init__(self, root: Path, project: bool = True) -> None:
        self.root = root
        self.home = root / "home/ec2-user"
        self.volume = self.home / "SageMaker"
        self.project = self.volume / "gan-lib"
        self.env = self.volume / "envs/gan-lib"
        self.kernel_file = self.home / ".local/share/jupyter/kernels/gan-lib/kernel.json"
        self.bucket = root / "s3"
        self.control = root / "control"
        self.knobs: dict[str, str] = {}
        self._alive: list[int] = []  # one pipe for each hook, open as long as something of it runs
        self.control.mkdir(parents=True)
        self.volume.mkdir(parents=True)
        shutil.copy(STAND_IN, root / "stand_in.sh")
        (root / "calls.log").touch()
        self._boot()
        if project:
            self.make_project(self.project)

    def _boot(self) -> None:
        """What is new at every start: the home folder beside the volume, and everything outside of it."""
        for entry in self.home.iterdir():
            if entry != self.volume:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for name in ["usr", "etc", "run", "opt", "proc", "sys"]:
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in ["usr/bin", "usr/local/sbin", "etc/systemd/system", "run/gan-lib", "opt/ml/metadata", "proc"]:
            (self.root / name).mkdir(parents=True)
        for program in PROGRAMS:
            (self.root / "usr/bin" / program).symlink_to(self.root / "stand_in.sh")
        conda = self.home / "anaconda3/bin/conda"
        conda.parent.mkdir(parents=True)
        conda.symlink_to(self.root / "stand_in.sh")
        arn = "arn:aws:sagemaker:eu-west-1:123456789012:notebook-instance/gan-lib-gpu"
        metadata = json.dumps({"ResourceArn": arn, "ResourceName": "gan-lib-gpu"})
        (self.root / "opt/ml/metadata/resource-metadata.json").write_text(metadata)
        self.uptime(60)
        self.load("0.00 0.00 0.00")

    @staticmethod
    def make_project(folder: Path) -> None:
        (folder / "lifecycle").mkdir(parents=True)
        (folder / "environment.yml").write_text(ENVIRONMENT_YML)
        (folder / "requirements.lock").write_text(LOCK)
        (folder / "pyproject.toml").write_text("[project]\nname = 'gan-lib'\n")
        for name in ["setup.sh", "busy.sh", "build-environment.sh", "run-batch.sh"]:
            shutil.copy(LIFECYCLE / name, folder / "lifecycle" / name)

    # --- what the tests set ---
    def uptime(self, seconds: int) -> None:
        (self.root / "proc/uptime").write_text(f"{seconds}.25 {seconds}.00\n")

    def load(self, text: str) -> None:
        (self.root / "proc/loadavg").write_text(f"{text} 1/100 4242\n")

    def on(self, program: str, *lines: str) -> None:
        """Bash lines that the stand-in for a program runs first."""
        (self.control / program).write_text("\n".join(lines) + "\n")

    def heal(self) -> None:
        """Whatever `on` had set is over."""
        for entry in self.control.iterdir():
            entry.unlink()

    def driver(self, version: str) -> None:
        self.on("nvidia-smi", f"echo {version}; exit 0")

    # --- what happens to the instance ---
    def environment(self) -> dict[str, str]:
        return {"PATH": HOOK_PATH, "GAN_LIB_ROOT": str(self.root), "RETRY_DELAYS": "1 1", **self.knobs}

    def hook(self, name: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run on-create or on-start as SageMaker does: in /, with its PATH; returns when the hook has ended.

        Everything that it starts inherits a pipe, which tells when the last of them has ended: see `wait`.
        """
        alive, inherited = os.pipe()
        self._alive.append(alive)
        try:
            return subprocess.run(
                ["/bin/bash", str(script or LIFECYCLE / f"{name}.sh")],
                env=self.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
                start_new_session=True,
                pass_fds=(inherited,),
            )
        finally:
            os.close(inherited)

    def start(self) -> None:
        """A start, the first one too, for on-create does nothing; then wait for the background."""
        done = self.hook("on-start")
        assert done.returncode == 0, done.stderr
        self.wait()

    def stop(self) -> None:
        """Everything ends, and all but the volume is lost."""
        while alive := self._background():  # again and again: one that waited for another may go on meanwhile
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)
        self.wait()
        self._boot()

    def _background(self) -> list[int]:
        """Every process that names the sandbox in its environment or arguments."""
        marks = [f"{self.root}/".encode(), f"{self.root}\0".encode()]
        alive = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(entry.name) != os.getpid() and any(mark in text for mark in marks):
                alive.append(int(entry.name))
        return alive

    def wait(self, seconds: float = 60) -> None:
        """Until no process is left that a hook has started: its pipe has no writer then."""
        while self._alive:
            ended, _, _ = select.select(self._alive, [], [], seconds)
            assert ended, "the background work does not end"
            for pipe in ended:
                os.close(pipe)
                self._alive.remove(pipe)

    # --- what it left behind ---
    def calls(self, program: str = "") -> list[tuple[int, str, str]]:
        """(session, program, arguments) of every recorded call; a line that is just being written is waited for."""
        log = self.root / "calls.log"
        text = log.read_text()
        while text and not text.endswith("\n"):
            text = log.read_text()
        calls = [line.split("\t", 2) for line in text.splitlines()]
        return [(int(session), name, arguments) for session, name, arguments in calls if program in ("", name)]

    def arguments(self, program: str) -> list[str]:
        return [arguments for _, _, arguments in self.calls(program)]

    def forget_calls(self) -> None:
        (self.root / "calls.log").write_text("")

    def kernel(self) -> dict[str, object]:
        kernel: dict[str, object] = json.loads(self.kernel_file.read_text())
        return kernel

    @property
    def kernel_command(self) -> list[str]:
        """What starts the kernel once there is an environment."""
        return [f"{self.env}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def kernel_name(self) -> str:
        return str(self.kernel()["display_name"])

    def status(self) -> str:
        return (self.volume / "GAN-LIB-STATUS.txt").read_text()

    def build_record(self) -> str:
        return (self.env / "gan-lib-build.txt").read_text()

    def ready(self) -> bool:
        return (self.env / ".ready").exists() and self.kernel_name() == "Python (gan-lib)"

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Every file of the volume with its time of change and its content's hash."""
        return {
            str(path.relative_to(self.volume)): (
                path.lstat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in sorted(self.volume.rglob("*"))
        }
