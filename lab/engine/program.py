"""Runs the Pulumi program, unmodified, against a monitor: what Pulumi's language host does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
import yaml
from pulumi.runtime.mocks import MockSettings

from lab.engine.errors import EngineError, Refused
from lab.engine.monitor import EngineLog, LabMonitor

_THREADS = 64
"""Registrations that can be under way at once; more than a small farm has, so that none waits."""


class ProgramError(Exception):
    """The program itself failed. The text is for its operator."""


def project_name(folder: Path) -> str:
    """Return the project's name from its ``Pulumi.yaml``.

    Raises:
        EngineError: There is no such file, or no name in it.
    """
    path = folder / "Pulumi.yaml"
    data = _mapping(path)
    if not isinstance(data.get("name"), str):
        raise EngineError(f"{path}: name: must be the project's name")
    return str(data["name"])


def stack_config(path: Path, project: str) -> dict[str, str]:
    """Read the config of a stack's file as the program sees it: structured values are JSON.

    Raises:
        EngineError: The file cannot be read, or a value has no meaning.
        Refused: A value is encrypted.
    """
    config = _mapping(path).get("config") or {}
    if not isinstance(config, dict):
        raise EngineError(f"{path}: config: must be a mapping")
    return {
        (key if ":" in key else f"{project}:{key}"): _config_value(path, key, value)
        for key, value in config.items()
    }


def _config_value(path: Path, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, dict) and set(value) == {"secure"}:
        raise Refused(f"{path}: config.{key}: the lab engine does not implement encrypted values")
    if isinstance(value, dict | list):
        return json.dumps(value)
    raise EngineError(f"{path}: config.{key}: must have a value (got {value!r})")


def _mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise EngineError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise EngineError(f"{path}: must be a YAML mapping")
    return data


def run_program(
    folder: Path,
    *,
    project: str,
    stack: str,
    config: Mapping[str, str],
    monitor: LabMonitor,
    log: EngineLog,
    preview: bool,
) -> None:
    """Run the program in ``folder`` to its end, all its operations included.

    Raises:
        ProgramError: It failed by itself.
        EngineError: An operation failed, which has been reported.
    """
    os.chdir(folder)
    sys.argv = [str(folder)]
    pulumi.runtime.set_all_config(dict(config))
    features = set(monitor.features())
    # Not set_mocks(): it makes a stack of its own, and run_in_stack() wants to.
    pulumi.runtime.configure(
        MockSettings(
            monitor=monitor,
            monitor_features=features,
            engine=log,
            project=project,
            stack=stack,
            dry_run=preview,
            organization="organization",
            root_directory=str(folder),
            callbacks=None,
        )
    )
    # An operation that failed leaves futures that nobody awaits; it has been reported by then.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="register") as threads:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.set_default_executor(threads)
        try:
            loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _main(folder)))
        except EngineError:
            raise
        except pulumi.RunError as error:
            raise ProgramError(str(error)) from error
        except SystemExit as error:
            if error.code:
                raise ProgramError(f"the program ended with exit code {error.code}") from error
        except Exception as error:
            raise ProgramError(_traceback(error, folder)) from error
        finally:
            # The pool's end waits for the operations that have begun.
            threads.shutdown(wait=True)
            loop.close()


def _main(folder: Path) -> None:
    runpy.run_path(str(folder), run_name="__main__")


def _traceback(error: Exception, folder: Path) -> str:
    """Return the traceback from the program's own first line on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if frame.filename.startswith(str(folder))]
    program = [index for index in own if "/lab/engine/" not in frames[index].filename]
    shown = frames[program[0] :] if program else frames
    lines = [*traceback.format_list(shown), *traceback.format_exception_only(error)]
    return "the program failed with an unhandled exception:\n" + "".join(lines)
