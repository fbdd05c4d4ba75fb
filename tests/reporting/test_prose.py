"""Headings and passages. Whatever comes from a file may be hostile; the command must make the same run again."""

import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from gan_lib.config import RunConfig
from gan_lib.presets import configure, parse_changes
from gan_lib.reporting.comparison import compare
from gan_lib.reporting.html import heading, how_to_reproduce, opening, paragraphs

HOSTILE = '<script>alert("x")</script>'
NOWHERE = Path("/nonexistent")


def command(page: str) -> list[str]:
    """The words of the one command in a passage, as a shell splits them."""
    assert page.count("<pre>") == 1
    return shlex.split(unescape(page.partition("<pre>")[2].partition("</pre>")[0]))


def configured(words: list[str]) -> RunConfig:
    """What the command line makes of a command's words."""
    assert words[:2] == ["gan-lib", "run"]
    options = list(zip(words[3::2], words[4::2], strict=True))
    preset, seed = dict(options)["--preset"], dict(options)["--seeds"]
    changes = parse_changes([value for name, value in options if name == "--set"])
    return configure(words[2], preset, **changes, seed=int(seed))


def test_a_heading_names_the_run_the_papers_machine_and_the_real_one() -> None:
    machine = {
        "label": "AMD EPYC, 2 cores",
        "threads": 2,
        "python": "3.12.3",
        "packages": {"torch": "2.9.0"},
        "git_commit": "0123456789abcdef",
        "git_dirty": True,
    }
    page = heading(RunConfig(epochs=1200, seed=7), machine, "2026-05-04T13:02:01+00:00")
    assert "<h1>GAN, CPU: 1,200 epochs, seed 7</h1>" in page
    assert "Named after ml.c5.2xlarge. Run on AMD EPYC, 2 cores, 2 threads, 2026-05-04 13:02 UTC." in page
    assert "PyTorch 2.9.0, Python 3.12.3, commit 0123456789ab with local changes." in page


@pytest.mark.parametrize("field", ["label", "threads", "python", "git_commit", "packages"])
def test_a_heading_escapes_whatever_the_machine_file_holds(field: str) -> None:
    value: Any = {"torch": HOSTILE} if field == "packages" else HOSTILE
    page = heading(RunConfig(), {"label": "x", "threads": 2, field: value}, HOSTILE)
    assert "<script" not in page
    assert "&lt;script" in page


def test_an_opening_gives_the_verdict_and_where_each_row_comes_from_and_escapes_it(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", label=HOSTILE, facts={"finished": "2026-05-04T13:02:01+00:00"})
    write_run("gan-cpu", seed=3)
    write_run("cgan-cpu", below="reference", label="Reference CPU")
    page = opening(compare(tmp_path / "runs", tmp_path / "reference"))
    assert "<script" not in page
    assert "GAN, CPU: your run, " in page and "seeds 0, 3, " in page
    assert "CGAN, CPU: reference run, Reference CPU, " in page
    assert 'class="verdict"' in page
    assert "doi:10.32782/IT/2022-2-7" in page


def test_the_command_for_a_run_of_the_paper_names_configuration_preset_and_seed(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("cgan-cpu", seed=4)
    words = command(how_to_reproduce(compare(tmp_path / "runs", NOWHERE)))
    assert words == ["gan-lib", "run", "cgan-cpu", "--preset", "paper", "--seeds", "4"]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("quick", {}),
        ("quick", {"epochs": 5}),
        ("paper", {"dropout": 0.25, "generator_noise": "reused", "seed": 2}),
        ("paper", {"data": "folder:/my digits; echo $HOME"}),
    ],
)
def test_the_command_makes_the_same_run_again(
    write_run: WriteRun, tmp_path: Path, preset: str, changes: dict[str, Any]
) -> None:
    write_run("gan-cpu", preset=preset, **changes)
    words = command(how_to_reproduce(compare(tmp_path / "runs", NOWHERE)))
    assert words[words.index("--preset") + 1] == preset
    assert configured(words) == configure("gan-cpu", preset, **changes)


def test_runs_of_one_kind_share_a_command_and_reference_runs_have_their_own(write_run: WriteRun, tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run("gan-cpu", seed=seed)
    write_run("cgan-cpu")
    write_run("gan-gpu", below="reference")
    page = how_to_reproduce(compare(tmp_path / "runs", tmp_path / "reference"))
    assert "<pre>gan-lib run gan-cpu cgan-cpu --preset paper --seeds 0,1</pre>" in page
    own, reference = page.split("The reference runs")
    assert "gan-gpu" not in own
    assert "<pre>gan-lib run gan-gpu --preset paper --seeds 0</pre>" in reference


def test_runs_of_two_kinds_need_a_command_each_and_one_to_compare_them(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", preset="quick")
    write_run("cgan-cpu", epochs=50)
    page = how_to_reproduce(compare(tmp_path / "runs", tmp_path / "none", ["gan-cpu--quick", "cgan-cpu--epochs-50"]))
    assert "<pre>gan-lib run gan-cpu --preset quick --seeds 0</pre>" in page
    assert "<pre>gan-lib run cgan-cpu --preset paper --seeds 0 --set epochs=50</pre>" in page
    assert "<pre>gan-lib compare cgan-cpu--epochs-50 gan-cpu--quick</pre>" in page


def test_without_runs_of_ones_own_the_command_makes_all_four(tmp_path: Path) -> None:
    assert command(how_to_reproduce(compare(tmp_path, NOWHERE))) == ["gan-lib", "run", "--preset", "paper"]


def test_paragraphs_are_escaped_one_by_one() -> None:
    assert paragraphs(["a < b", "c & d"]) == "<p>a &lt; b</p><p>c &amp; d</p>"
