"""Runs a Pulumi program in this process, as Pulumi's language host for Python does.

    python -u -P run_program.py SETTINGS PROGRAM

The settings are JSON; the config is in the environment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pulumi
import pulumi.runtime

SHOWN = 32
"""The exit code of a program that has shown its error."""


def main(settings: str, program: str) -> int:
    """Run it to its end, and return the exit code."""
    config = pulumi.runtime.get_config_env()
    pulumi.runtime.set_all_config(config, pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(pulumi.runtime.Settings(**json.loads(settings)))
    sys.argv = [program]
    # When a resource fails, many results are never read; asyncio would report each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    threads = ThreadPoolExecutor(max(json.loads(settings)["parallel"], 1) * 4)
    loop.set_default_executor(threads)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return SHOWN
    except Exception as error:
        shown = traceback.format_exception(error.with_traceback(_own(error, program)))
        pulumi.log.error(f"Program failed with an unhandled exception:\n{''.join(shown)}")
        return SHOWN
    else:
        return 0
    finally:
        threads.shutdown(wait=True)
        loop.close()


def _run(program: str) -> None:
    runpy.run_path(program, run_name="__main__")


def _own(error: Exception, program: str) -> TracebackType | None:
    """Return the traceback from the program's own first line on."""
    folder = str(Path(program).absolute())
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(folder):
        trace = trace.tb_next
    return trace or error.__traceback__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
