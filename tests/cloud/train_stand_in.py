"""`gan-lib run` without notebooks and report: the same arguments, the same training, the same run folder, in seconds."""

import sys
from pathlib import Path

from gan_lib.presets import configure, parse_changes, run_name
from gan_lib.runs.experiment import Experiment


def main(command: str, name: str, *options: str) -> None:
    assert command == "run"
    pairs = list(zip(options[::2], options[1::2], strict=True))
    (preset,) = [value for option, value in pairs if option == "--preset"]
    config = configure(name, preset, **parse_changes([value for option, value in pairs if option == "--set"]))
    for epoch in (experiment := Experiment(config, Path("results/runs") / run_name(config))):
        print(experiment.progress(epoch), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
