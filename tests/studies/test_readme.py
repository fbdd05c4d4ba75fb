"""README's results table from reference runs, and which runs become reference runs."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.batch import notebooks, pages
from gan_lib.reporting.comparison import at_paper_length, compare
from gan_lib.studies import precision, readme
from gan_lib.studies.readme import marks, optimal_answer, quality_table, results_table, update

NOWHERE = Path("/nonexistent")
BEGIN, END = marks("results")


def table(tmp_path: Path) -> list[str]:
    return results_table(compare(tmp_path / "reference", NOWHERE)).splitlines()


def test_the_table_has_the_papers_numbers_beside_the_measured_ones(write_run: WriteRun, tmp_path: Path) -> None:
    # Inside both bands from the first epoch on, so the trailing mean of 10 epochs is from epoch 10 on.
    write_run("gan-cpu", below="reference", seconds=0.5, label="Test CPU")
    lines = table(tmp_path)
    assert len(lines) == 6  # head, rule, four configurations
    assert lines[2] == (
        "| GAN, CPU | 37 (ml.c5.2xlarge) | **0.500** | 1,200 | epoch 10 | 1,200 epochs, 6 s | 0.550 / 1.05 | Test CPU |"
    )
    assert lines[3] == "| CGAN, CPU | 437 (ml.c5.2xlarge) | not measured yet | 300 | – | – | – | – |"
    assert lines[4].startswith("| GAN, GPU | 0.1 (ml.g4dn.xlarge) | not measured yet | 1,200 |")
    assert lines[5].startswith("| CGAN, GPU | 0.45 (ml.g4dn.xlarge) | not measured yet | 300 |")
    assert {line.count("|") for line in lines} == {9}


def test_several_seeds_are_one_line_with_how_many_reached_balance(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, g_loss in enumerate((1.05, 1.05, 3.0)):
        write_run("cgan-cpu", below="reference", g=[g_loss] * 12, seconds=1.0 + seed, seed=seed)
    line = table(tmp_path)[3]
    assert "| **2.00** |" in line  # the median of 1, 2 and 3 s
    assert "| epoch 10 (2 of 3 seeds) |" in line
    assert "0.550 / 1.05" in line


def test_a_run_that_never_reached_balance_says_so(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference", g=[3.0] * 12)
    assert "| never in 1,200 |" in table(tmp_path)[2]


def test_the_table_of_quality_has_what_was_measured_and_the_floor(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference", quality={12: 40.0})
    write_run("wgan-cpu", below="reference", quality={12: 20.0})
    write_run("cgan-cpu", below="reference")
    reference = tmp_path / "reference"
    lines = quality_table(compare(reference, reference, ["gan-cpu", "cgan-cpu", "wgan-cpu"])).splitlines()
    assert lines[0].startswith("| configuration | Fréchet distance | precision, % |")
    assert [line.split(" | ")[:2] for line in lines[2:5]] == [
        ["| GAN, CPU", "40.0"],
        ["| WGAN, CPU", "20.0"],
        ["| real images: the floor", "0.200"],
    ]
    assert "“WGAN, CPU”" in lines[6] and lines[-1].startswith("| WGAN, CPU | – | 6.00 s, 0.000680 USD | never |")


def test_the_answer_has_the_mean_and_the_ends_over_the_seeds_and_the_papers_own_beside(
    write_run: WriteRun, tmp_path: Path
) -> None:
    reference = tmp_path / "reference"
    assert optimal_answer(at_paper_length(reference, reference)) == "Not measured yet."
    write_run("gan-cpu", below="reference", quality={12: 40.0})
    for seed, distance in enumerate((1.0, 2.0, 6.0)):
        write_run("optimal-cpu", below="reference", quality={12: distance}, seed=seed, seconds=10.0 + seed)
    words = optimal_answer(at_paper_length(reference, reference))
    assert "of 3.00 (1.00 to 6.00) after 2 min 12 s of training (3 runs)" in words  # 12 epochs of 11 s
    assert "end at 40.0 after 6 s, and real images have 0.200" in words


def test_an_update_replaces_what_is_between_the_marks_and_nothing_else() -> None:
    text = f"before\n{BEGIN}\nold\nolder\n{END}\nafter\n"
    once = update(text, "results", "| new |")
    assert once == f"before\n{BEGIN}\n| new |\n{END}\nafter\n"
    assert update(once, "results", "| new |") == once


@pytest.mark.parametrize("text", ["", "no marks", f"{BEGIN} only", f"only {END}", f"{END} the wrong way round {BEGIN}"])
def test_a_readme_without_both_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must hold") as caught:
        update(text, "results", "| new |")
    assert BEGIN in str(caught.value) and END in str(caught.value)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root of our own, which publish then works on."""
    for path, names in (
        ("README.md", ["optimal", "results"]),
        ("results/README.md", ["quality", "claims", "choices", "ablation", "searches", "speed"]),
    ):
        parts = [line for name in names for line in marks(name)]
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("\n".join(["# Title", *parts]), encoding="utf-8")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    return tmp_path


def test_finished_paper_length_runs_are_kept_without_a_discriminator(
    write_run: WriteRun, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for configuration, status, preset in (
        ("gan-cpu", "ok", "paper"),
        ("cgan-cpu", "failed", "paper"),
        ("gan-gpu", "ok", "quick"),
    ):
        folder = write_run(configuration, below="results/runs", status=status, preset=preset)
        (folder / "discriminator.safetensors").write_bytes(b"weights")
        (folder / "samples.png").write_bytes(b"picture")
        (folder / "batch.lock").write_text("123 here")
    readme.main("records")
    kept = tmp_path / "results" / "reference"
    assert [path.name for path in kept.iterdir()] == ["gan-cpu"]
    names = {path.name for path in (kept / "gan-cpu" / "seed-0").iterdir()}
    assert names == {"config.json", "machine.json", "history.csv", "summary.json", "samples.png"}
    assert capsys.readouterr().out == "kept gan-cpu/seed-0\n"
    readme.main("readme")
    results = (repository / "README.md").read_text(encoding="utf-8")
    quality = (repository / "results" / "README.md").read_text(encoding="utf-8")
    assert "| GAN, CPU | 37 (ml.c5.2xlarge) | **0.500** |" in results
    begin, end = marks("quality")
    assert quality.partition(begin)[2].partition(end)[0].strip() == "Not measured yet."
    (repository / "results" / "choices").mkdir()
    (repository / "results" / "choices" / "answer.md").write_text("- The answer.\n")
    readme.main("readme")
    begin, end = marks("choices")
    assert f"{begin}\n- The answer.\n{end}" in (repository / "results" / "README.md").read_text(encoding="utf-8")
    begin, end = marks("claims")
    assert "| the paper's claim | answer | because |" in quality.partition(begin)[2].partition(end)[0]


@pytest.mark.slow
def test_the_comparison_of_reference_runs_has_a_page_and_two_pictures(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", below="reference", quality={12: 40.0})
    write_run("wgan-cpu", below="reference", quality={12: 20.0})
    reference = tmp_path / "reference"
    html = pages.publish_comparison(reference).read_text()
    assert "Reference runs." in html and "WGAN, CPU" in html
    assert "WGAN, CPU: reference run, Test CPU" in html
    for name in ("images", "quality"):
        assert (reference / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", ["", "weights"])
def test_an_unknown_word_is_refused(what: str) -> None:
    with pytest.raises(SystemExit, match=r"choose one of records, comparison, .*, readme, got"):
        readme.main(what)


def test_the_study_of_precision_leaves_a_figure_and_a_table(write_run: WriteRun, tmp_path: Path) -> None:
    for name, level in (("fp32", 1.0), ("bf16", 1.1)):
        for seed in range(2):
            write_run("gan-cpu", below=f"{name}/runs", g=[level + 0.3 * seed] * 12, seed=seed, precision=name)
    assert precision.publish_precision(tmp_path) == "4 runs, within the spread of the seeds"
    assert (tmp_path / "precision.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "precision.md").read_text()
    assert "| GAN | G | 1.15 (1.00 to 1.30, n = 2) | 1.25 (1.10 to 1.40, n = 2) |" in text
