"""One line for each mistake."""

from pathlib import Path

import pytest

from gan_lib.errors import ConfigurationError, GanLibError


def kinds(base: type[GanLibError] = GanLibError) -> list[type[GanLibError]]:
    """Every error, however deep in the tree."""
    return [kind for child in base.__subclasses__() for kind in (child, *kinds(child))]


def test_every_error_has_an_exit_code_and_is_none_of_pythons() -> None:
    assert {kind.exit_code for kind in kinds()} == {1, 2}
    assert not any(issubclass(kind, (OSError, ValueError, KeyError)) for kind in kinds())


def test_a_notebook_shows_a_refusal_as_one_line_instead_of_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # leave the user's own alone
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.io import capture_output

    shell = InteractiveShell.instance()
    shell.user_ns["refusal"] = ConfigurationError("epochs must be at least 1, got 0")
    try:
        with capture_output() as shown:
            shell.run_cell("raise refusal")
    finally:
        InteractiveShell.clear_instance()
    assert shown.stdout.strip() == "ConfigurationError: epochs must be at least 1, got 0"
