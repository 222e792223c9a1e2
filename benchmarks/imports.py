"""How long the program's imports take after the SDK's: ``python -m benchmarks.imports``.

Prints seconds.
"""

import importlib
import time

from benchmarks.mocked import import_all

if __name__ == "__main__":
    importlib.import_module("pulumi")
    began = time.perf_counter()
    import_all()
    print(time.perf_counter() - began)
