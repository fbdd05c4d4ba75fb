"""python -m gan_lib: the command line, with one line for whatever ends it before it has begun."""

import os  # Python has loaded these two already. During any other import here Ctrl-C would print a traceback.
import sys


def _again(ignored: "sys.UnraisableHookArgs") -> None:
    """Raise a Ctrl-C again that fell into a callback, where Python can only print it."""
    if ignored.exc_type is KeyboardInterrupt:
        import signal
        import threading

        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(ignored)


def main() -> None:
    """Run the command line. Exit codes are cli.main's; 2 where a package is missing."""
    sys.unraisablehook = _again
    try:
        from gan_lib import cli

        cli.main()
    except KeyboardInterrupt:  # while the modules are being imported
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "gan_lib":
            raise
        extra = {"boto3": "aws", "botocore": "aws", "dask": "cluster", "distributed": "cluster"}.get(package, "notebooks")
        print(f"gan-lib: {package} is not installed: pip install -e '.[{extra}]'", file=sys.stderr)
        sys.exit(2)
    finally:
        import gc

        gc.freeze()  # at its end Python collects garbage once more, which takes a second with PyTorch loaded


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, whose modules are the user's own
    main()
