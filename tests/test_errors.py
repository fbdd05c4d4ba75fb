"""One line for each mistake."""

from pathlib import Path

import pytest

from gan_lib import errors

KINDS = [
    errors.ConfigurationError,
    errors.DataError,
    errors.MachineUnavailable,
    errors.RecordError,
    errors.TrainingError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_can_be_caught_as_one_kind(kind: type[errors.GanLibError]) -> None:
    assert issubclass(kind, errors.GanLibError)
    assert str(kind("epochs must be at least 1, got 0")) == "epochs must be at least 1, got 0"


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_shows_a_refusal_as_one_line_instead_of_a_traceback(
    kind: type[errors.GanLibError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # leave the user's own alone
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.io import capture_output

    shell = InteractiveShell.instance()
    shell.user_ns["refusal"] = kind("epochs must be at least 1, got 0")
    try:
        with capture_output() as shown:
            shell.run_cell("raise refusal")
    finally:
        InteractiveShell.clear_instance()
    assert shown.stdout.strip() == f"{kind.__name__}: epochs must be at least 1, got 0"


def test_a_mistake_of_ours_is_not_dressed_up_as_one_of_the_users() -> None:
    assert not issubclass(errors.GanLibError, (OSError, ValueError, KeyError))
