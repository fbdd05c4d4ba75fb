"""One RunConfig in, one run folder out, and records read from it."""
