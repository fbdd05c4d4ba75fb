"""A run whose files hold other types, sizes and characters: it is named, and the others are shown."""

import json
import random
import resource
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteRun

from faults.conftest import Count
from gan_lib.reporting.comparison import compare
from gan_lib.reporting.html import write_index
from gan_lib.runs.listing import facts, lines
from gan_lib.runs.record import find_records
from gan_lib.runs.storage import _json_checksum, checksum, read_json, write_json

VALUES: list[Any] = [
    *(None, True, -1, 0, 10**400, 1e308, float("nan"), float("-inf"), "", "text", "\ud800", "\x1b[31m\0", "x" * 500_000),
    *([], {}, [[]], {"a": {"b": []}}, ["note"] * 5000, {"torch": 5}, "2**400", ["\udcff"]),
]
CELLS = ["", "nan", "inf", "-1", "1e400", "9" * 5000, "x", "\ud800", "1,1", "1\n1", '"', "\0", "0x10", "1_0"]


def mutate_json(path: Path, chance: random.Random) -> None:
    """Give one entry another value, or take it away, or add one; with the checksum that belongs to it."""
    content = read_json(path)
    name = chance.choice([*content, "label", "packages", "notes", "seconds_per_epoch", "stretches", "reason", "new"])
    if chance.random() < 0.15:
        content.pop(name, None)
    else:
        content[name] = chance.choice(VALUES)
    content["sha256"] = _json_checksum(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def mutate_csv(path: Path, chance: random.Random) -> None:
    """Replace one cell, by what may be several lines."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    line = chance.choice(lines)
    line[chance.randrange(len(line))] = chance.choice(CELLS)
    path.write_bytes("".join(",".join(line) + "\n" for line in lines).encode(errors="surrogatepass"))


@pytest.mark.usefixtures("no_hanging")
def test_one_bad_run_is_named_and_never_hides_the_others(
    write_run: WriteRun, tmp_path: Path, chance: random.Random, count: Count
) -> None:
    bad, good = (
        write_run("gan-cpu", seed=1, status="failed", reason="because", quality={6: 60.0, 12: 40.0}),
        write_run("gan-cpu"),
    )
    whole = {path: path.read_bytes() for path in bad.iterdir()}
    refused, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count(200, 2000)):
        path = chance.choice(sorted(whole))
        (mutate_json if path.suffix == ".json" else mutate_csv)(path, chance)
        records, problems = find_records(tmp_path / "runs")
        assert good in [record.path for record in records]
        assert len(records) + len(problems) == 2
        refused += len(problems)
        for text in (*problems, *lines(map(facts, records))):
            text.encode()
            assert len(text) < 25_000
        for problem in problems:
            assert str(bad) in problem
            assert "\n" not in problem
        if number % 10 == 0:
            assert "gan-cpu/seed-0" in write_index(tmp_path).read_text()
        path.write_bytes(whole[path])
    print(f"{refused} refused")
    assert refused > 80
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


@pytest.mark.parametrize("forged", [True, False])
def test_a_history_that_is_broken_in_the_middle_hides_no_other_run(write_run: WriteRun, tmp_path: Path, forged: bool) -> None:
    """forged: with the checksum of what it holds, which only a full reading sees through."""
    bad, good = write_run("gan-cpu", seed=1, d=[0.5] * 3), write_run("gan-cpu", d=[0.5] * 3)
    content = (bad / "history.csv").read_bytes().replace(b"\n2,", b"\nx,")
    (bad / "history.csv").write_bytes(content)
    summary = read_json(bad / "summary.json")
    write_json(bad / "summary.json", {**summary, "history_sha256": checksum(content) if forged else None})
    assert [record.path for record in compare(tmp_path / "runs", tmp_path / "none")["gan-cpu"].records] == [good]
    (problem,) = find_records(tmp_path / "runs", series=forged)[1]
    assert "history.csv: line 3 is broken" in problem


def test_a_name_that_is_not_utf_8_is_named_and_the_others_are_shown(write_run: WriteRun, tmp_path: Path) -> None:
    good = write_run("gan-cpu")
    stranger = tmp_path / "runs" / "gan-\udcff" / "seed-0"
    try:
        stranger.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    (stranger / "config.json").write_bytes((good / "config.json").read_bytes())
    records, problems = find_records(tmp_path / "runs")
    assert [record.path for record in records] == [good]
    assert problems == [r"run folder 'gan-\udcff/seed-0' must have a name in UTF-8"]
    write_index(tmp_path)
