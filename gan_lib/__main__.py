"""python -m gan_lib: the command line, with one line for whatever ends it before it has begun."""

import sys


def main() -> None:
    """Run the command line. Exit codes are cli.main's; 2 where a package is missing."""
    try:
        from gan_lib import cli

        cli.main()
    except KeyboardInterrupt:  # while the modules are being imported
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "gan_lib":
            raise
        extra = "aws" if package in ("boto3", "botocore") else "notebooks"
        print(f"gan-lib: {package} is not installed: pip install -e '.[{extra}]'", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, whose modules are the user's own
    main()
