"""Many runs, one after another or side by side: planning, one process a run, progress, pages."""

import sys

# A grammar for one kind of web address, which is compiled whenever nbformat is imported: 1.4 s in each process, and jsonschema
# does without it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
