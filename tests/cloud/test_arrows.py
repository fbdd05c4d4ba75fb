"""gan_lib/cloud keeps the rules of the modules around it: who imports whom, who prints, and the SDK only where it is used."""

import ast
from pathlib import Path

import pytest
from test_layout import at_module_level, imported

PACKAGE = Path(__file__).resolve().parents[2] / "gan_lib/cloud"
# From the ground up: a module may import those before it.
ORDER = [
    "__init__",
    "prices",
    "service",
    "batch",
    "plan",
    "stack",
    "instances",
    "bucket",
    "launch",
    "jobs",
    "status",
    "fetch",
    "commands",
]
# What the package may use of its siblings.
SIBLINGS = {"arguments", "errors", "words", "paper", "config", "configurations", "flops", "record", "batch", "report", "cloud"}


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def test_every_module_has_its_place_and_says_what_it_is_for() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ORDER)
    assert all(ast.get_docstring(tree(module)) for module in ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_arrows_point_up(module: str) -> None:
    names = imported(list(ast.walk(tree(module))))
    parts = [name.split(".") for name in names if name.startswith("gan_lib.")]
    assert {part[1] for part in parts} <= SIBLINGS
    inside = {part[2] for part in parts if part[1] == "cloud" and len(part) > 2} & set(ORDER)
    assert all(ORDER.index(name) < ORDER.index(module) for name in inside), inside
    if module != "commands":
        assert not {part[1] for part in parts} & {"cli", "batch", "report"}


@pytest.mark.parametrize("module", ORDER)
def test_nobody_prints_but_the_commands_and_the_sdk_is_imported_where_it_is_used(module: str) -> None:
    top = {name.split(".")[0] for name in imported(at_module_level(tree(module)))}
    assert not top & {"boto3", "botocore"}
    calls = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    assert module == "commands" or "print" not in calls
