"""Many runs, one after another: planning, one process a run, progress, pages."""
