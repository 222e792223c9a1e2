"""How long the program's imports take after the engine's: ``python -m benchmarks.imports``.

Prints seconds.
"""

import importlib
import time

from benchmarks.mocked import import_all

if __name__ == "__main__":
    for module in ("pulumi", "lab.engine.__main__", "lab.engine.providers"):
        importlib.import_module(module)
    began = time.perf_counter()
    import_all()
    print(time.perf_counter() - began)
