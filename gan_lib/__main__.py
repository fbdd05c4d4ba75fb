"""python -m gan_lib: the command line."""

from gan_lib.cli import main

main()
