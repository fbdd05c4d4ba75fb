"""The layout: which package may import which, and where heavy packages may be imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gan_lib"
WINGS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))

GROUND = {"errors", "text", "registry", "pictures", "config", "presets", "data"}  # files below every wing
# The arrows between files at the top and wings. `errors`, `text` and `registry` may be imported from everywhere.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "text": set(),
    "registry": set(),
    "pictures": set(),
    "config": {"registry"},
    "presets": {"config"},
    "data": {"config", "pictures"},
    "training": {"config"},
    "quality": {"config", "data"},
    "runs": {"training", "quality", "data", "presets", "pictures", "config"},
    "reporting": {"runs", "quality", "presets", "pictures", "config"},
    "batch": {"reporting", "runs", "training", "data", "presets", "config"},
    "studies": {"batch", "reporting", "runs", "quality", "training", "data", "config", "presets"},
    "cloud": {"batch", "reporting", "runs", "presets", "config"},
    "__init__": {"config", "presets", "runs", "reporting"},
    "__main__": {"cli"},
}
ARROWS["cli"] = GROUND | set(WINGS)

# Packages that a bare GPU machine may lack, or that take seconds to import: only these wings and files may import them with
# themselves. batch/shell is imported nowhere but in a notebook's process, batch/cluster where a cluster is asked for.
HEAVY: dict[str, set[str]] = {
    "pandas": {"reporting", "studies"},
    "matplotlib": {"reporting", "studies", "batch/shell"},
    "optuna": {"studies"},
    "papermill": {"batch/shell"},
    "nbconvert": set(),
    "jinja2": set(),
    "typer": {"cli", "cloud"},
    "click": {"cli", "cloud"},
    "IPython": {"batch/shell"},
    "ipywidgets": set(),
    "torchvision": set(),
    "boto3": set(),
    "botocore": set(),
    "tenacity": set(),
    "mlxtend": set(),
    "dask": set(),
    "distributed": {"batch/cluster", "batch/worker"},
}
PRINTS = {"__main__"}


def room(module: str) -> str:
    """The wing, or the file at the top, that a module belongs to."""
    return module.split("/")[0]


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imported(nodes: list[ast.AST]) -> set[str]:
    """Full names of what import statements bring in: "gan_lib.config.RunConfig", "torch.nn"."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "siblings are imported by their full name, so that this test sees them"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


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


def test_the_house_fits_on_a_screen() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10
    assert len(WINGS) <= 7


def test_the_arrows_have_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(ARROWS):
        ready = {name for name, below in ARROWS.items() if name not in done and below - {name} <= done}
        assert ready, f"a cycle among {sorted(ARROWS.keys() - done)}"
        done |= ready


@pytest.mark.parametrize("module", MODULES)
def test_a_wing_imports_only_wings_below_it(module: str) -> None:
    parts = [name.split(".") for name in imported(list(ast.walk(tree(module))))]
    rooms = {part[1] for part in parts if part[0] == "gan_lib" and len(part) > 1 and part[1] in ARROWS}
    wrong = rooms - ARROWS[room(module)] - {room(module), "errors", "text", "registry"}
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}, which its wing may not"


@pytest.mark.parametrize("module", MODULES)
def test_a_heavy_package_is_imported_only_where_it_is_used(module: str) -> None:
    packages = {name.split(".")[0] for name in imported(at_module_level(tree(module)))}
    wrong = {package for package in packages & HEAVY.keys() if not {module, room(module)} & HEAVY[package]}
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))} as soon as it is imported itself"


def loaded_after(code: str) -> set[str]:
    """Names of the modules and packages that a new Python has loaded after some code."""
    script = f"import sys; {code}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(output.split())


def test_training_needs_nothing_that_only_reports_and_notebooks_need() -> None:
    loaded = loaded_after("import gan_lib.runs.experiment")
    assert "torch" in loaded
    assert not {"pandas", "matplotlib", "papermill", "nbconvert", "jinja2", "typer", "IPython", "torchvision"} & loaded


def test_the_server_of_the_notebooks_has_loaded_what_they_need() -> None:
    loaded = loaded_after("import gc, gan_lib.batch.preload; assert gc.isenabled() and gc.get_freeze_count() > 100_000")
    assert {"gan_lib.batch.shell", "gan_lib.runs.experiment", "gan_lib.reporting.figures", "nbconvert", "tqdm.auto"} <= loaded


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert (ast.get_docstring(tree(module)) or "").split("\n")[0].strip()


@pytest.mark.parametrize("module", MODULES)
def test_the_library_returns_and_the_notebook_shows(module: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    assert module in PRINTS or not calls & {"print", "plt.show", "display"}
