"""What notebooks and pages need, imported by the server that their processes are forked from: each starts with it loaded.

Garbage collection is off while it imports, which saves a fifth of the time. After gc.freeze, collections skip all of this.
"""

import gc
import importlib

gc.disable()
for _name in ("batch.shell", "runs.experiment", "reporting.figures", "reporting.quality_figures"):
    importlib.import_module(f"gan_lib.{_name}")
for _name in ("nbconvert", "tqdm.auto"):
    importlib.import_module(_name)
gc.freeze()
gc.enable()
