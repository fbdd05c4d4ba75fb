"""The arrows: which module may import which, and where heavy packages may be imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "gan_lib"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))

ANYBODY = {"errors", "words"}  # they import no sibling, and every module may import them

# From the ground up: a module may import the siblings named here, and each of those stands further up.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "words": {"errors"},
    "paper": set(),
    "losses": set(),
    "layers": set(),
    "graphs": set(),
    "images": set(),
    "clocks": set(),
    "stopping": set(),
    "evidence": set(),
    "locks": set(),
    "storage": set(),
    "config": set(),
    "configurations": {"config"},
    "machine": set(),
    "data": {"config"},
    "models": {"config", "layers"},
    "flops": {"config"},
    "estimate": {"config", "configurations", "flops"},
    "learner": {"config", "layers"},
    "sampling": {"config", "learner"},
    "wasserstein": {"config", "learner", "losses"},
    "training": {"config", "data", "models", "losses", "layers", "learner", "graphs", "sampling", "wasserstein"},
    "checkpoint": {"config", "storage"},
    "series": {"storage"},
    "record": {"config", "configurations", "checkpoint", "locks", "series", "storage"},
    "classifier": set(),
    "distances": set(),
    "noise": set(),
    "damage": {"noise"},
    "memorisation": set(),
    "classifier_training": {"classifier", "data", "distances"},
    "classifier_choice": {"classifier", "classifier_training", "config", "data"},
    "metrics": {"classifier", "data", "distances", "memorisation", "noise"},
    "plateau": set(),
    "evaluation": {"classifier_choice", "config", "data", "metrics", "plateau", "sampling"},
    "balance": {"paper"},
    "bench": {"config", "configurations", "data", "losses", "models", "training", "machine", "flops"},
    "experiment": {"paper", "balance", "checkpoint", "clocks", "config", "data", "images", "machine", "models", "record"}
    | {"evaluation", "sampling", "stopping", "storage", "training"},
    "explore": {"config", "models", "record", "sampling"},
    "selection": {"configurations", "balance", "record", "paper"},
    "tables": {"config", "configurations", "paper", "record", "balance", "models", "selection"},
    "quality": {"metrics", "plateau", "record", "selection"},
    "intervals": set(),
    "answers": {"intervals"},
    "charts": {"paper", "balance"},
    "figures": {"paper", "balance", "charts", "record", "selection", "tables"},
    "critic_figures": {"charts", "selection", "tables"},
    "speed": {"paper", "charts", "record", "storage", "tables"},
    "precision_study": {"charts", "record", "tables"},
    "choices_study": {"balance", "config", "configurations", "paper", "quality", "record"},
    "choices_answers": {"balance", "choices_study", "record", "tables"},
    "choices_figures": {"balance", "charts", "choices_study", "paper", "quality", "record"},
    "quality_study": {"classifier", "classifier_training", "config", "damage", "data", "distances", "metrics"},
    "quality_figures": {"charts", "memorisation"},
    "quality_curves": {"charts", "quality", "record", "selection", "tables"},
    "quality_tables": {"answers", "intervals", "quality", "record", "selection", "tables"},
    "stop_rule": {"balance", "intervals", "plateau", "quality", "record", "tables"},
    "quality_claims": {"answers", "intervals", "quality", "selection", "tables"},
    "verdict": {"answers", "paper", "balance", "intervals", "quality_claims", "record", "selection", "tables"},
    "prose": {"paper", "config", "configurations", "record", "selection", "tables", "verdict"},
    "report": {"config", "record"},
    "execution": set(),
    "notebook_process": {"locks"},
    "job": {"config", "configurations", "evidence", "execution", "locks", "machine", "record", "report", "storage"},
    "batch": {"config", "configurations", "data", "estimate", "execution", "job", "locks", "machine", "record", "report"},
    "terminal": {"batch"},
    "publish": {
        *("batch", "config", "configurations", "paper", "precision_study", "record", "selection", "speed", "tables"),
        *(
            "choices_answers",
            "choices_figures",
            "choices_study",
            "classifier",
            "classifier_training",
            "data",
            "execution",
            "machine",
        ),
        *("figures", "quality", "quality_curves", "quality_figures", "quality_study", "quality_tables", "stop_rule"),
        *("terminal", "verdict"),
    },
    "__init__": {"config", "configurations", "record"},
}
ALLOWED["arguments"] = {"config", "configurations"}
ALLOWED["cli"] = ALLOWED.keys() - {"__init__"}  # anything above
ALLOWED["__main__"] = {"cli"}

# Packages that a bare GPU machine may lack, or that take seconds to import, and who may import them with itself.
HEAVY: dict[str, set[str]] = {
    "pandas": {"tables", "verdict"},
    "matplotlib": {"charts", "choices_figures", "figures", "critic_figures", "quality_curves", "quality_figures"},
    "papermill": {"execution", "notebook_process"},
    "nbconvert": {"batch", "report"},
    "jinja2": {"batch", "report"},
    "typer": {"cli"},
    "click": {"cli"},
    "IPython": set(),
    "ipywidgets": set(),
    "torchmetrics": {"metrics", "distances"},
    "torchvision": {"data"},
    "mlxtend": {"data"},
}


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported(nodes: list[ast.AST]) -> set[str]:
    """Full names of what import statements bring in: "gan_lib.config", "torch.nn"."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "siblings are imported by their full name, so that this test sees them"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def siblings(module: str) -> set[str]:
    """The siblings that a module imports, at its top or inside a function."""
    parts = [name.split(".") for name in imported(list(ast.walk(tree(module))))]
    return {part[1] for part in parts if part[0] == "gan_lib" and len(part) > 1 and part[1] in MODULES}


def at_module_level(node: ast.AST) -> list[ast.AST]:
    """Every statement that runs when a module is imported: not inside a function, nor an `if TYPE_CHECKING`."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        found += [child, *at_module_level(child)]
    return found


def test_every_module_has_its_place_in_the_design() -> None:
    assert set(MODULES) <= ALLOWED.keys(), "say in ALLOWED where a new module stands"


def test_the_design_has_no_cycle() -> None:
    order = list(ALLOWED)
    for module, allowed in ALLOWED.items():
        for sibling in allowed | (ANYBODY - {module} if module not in ANYBODY else set()):
            assert order.index(sibling) < order.index(module), f"{module} may not import {sibling}, further down"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_siblings_further_up(module: str) -> None:
    anybody = set() if module in ANYBODY else ANYBODY
    wrong = siblings(module) - ALLOWED.get(module, set()) - anybody
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}, which stands no further up"


@pytest.mark.parametrize("module", MODULES)
def test_a_heavy_package_is_imported_only_where_it_is_used(module: str) -> None:
    packages = {name.split(".")[0] for name in imported(at_module_level(tree(module)))}
    wrong = {package for package in packages & HEAVY.keys() if module not in HEAVY[package]}
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))} as soon as it is imported itself"


def test_training_needs_nothing_that_only_reports_and_notebooks_need() -> None:
    code = "import sys, gan_lib.experiment, gan_lib.record; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    unwanted = {"pandas", "matplotlib", "papermill", "nbconvert", "jinja2", "typer", "IPython", "torchvision"}
    assert not unwanted & set(loaded)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(tree(module))
    assert docstring
    assert docstring.split("\n")[0].strip()


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("__")])
def test_every_module_has_its_tests(module: str) -> None:
    assert (TESTS / f"test_{module}.py").exists(), f"write tests/test_{module}.py"


@pytest.mark.parametrize("module", MODULES)
def test_the_library_returns_and_the_notebook_shows(module: str) -> None:
    if module in ("cli", "terminal", "__main__", "publish", "notebook_process"):  # the command line
        return
    calls = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    assert not calls & {"print", "plt.show", "display"}
