"""Provider plugins for the real CLI that manage a folder instead of VMs and Docker.

``python -m tests.support.world_plugin pulumi-resource-NAME``: as the lab's stand-ins, with their
schemas, but each thing is a file of the folder ``WORLD``. What the file ``WORLD/gone`` names, one
regular expression a line, is not found when it is read. ``WORLD/commands`` has what commands did.
"""

import os
import re
import secrets
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.providers import package
from lab.providers.handler import Call, Created, Handler, Resource
from lab.providers.serve import PREFIX, serve_package

WORLD = Path(os.environ["WORLD"])
THINGS = {"Domain", "Volume", "Network", "Pool", "Container"}


class _Connection:
    def cancel(self) -> None:
        """End nothing: nothing takes long."""

    def close(self) -> None:
        """End nothing."""


class _Thing(Handler[_Connection]):
    def __init__(self, real: Handler[Any]) -> None:
        self.schema = real.schema
        package_name, _, kind = self.schema.type.partition(":")
        self._kind = kind.rpartition(":")[2]
        self._prefix = f"{package_name}.{self._kind}"

    def create(self, connection: _Connection, call: Call) -> Created:  # noqa: ARG002 - none is needed
        name = str(call.inputs.get("name") or secrets.token_hex(4))
        self._note("create", call)
        if self._kind in THINGS:
            self._file(name).write_text(secrets.token_hex(6))
        return Created(name, self._outputs(call))

    def update(self, connection: _Connection, call: Call, old: Resource) -> Any:  # noqa: ARG002
        self._note("update", call)
        return {**old.outputs, **call.inputs}

    def delete(self, connection: _Connection, call: Call, old: Resource) -> None:  # noqa: ARG002
        self._note("delete", call)
        if self._kind in THINGS:
            self._file(old.id).unlink(missing_ok=True)

    def read(self, connection: _Connection, resource: Resource) -> Resource | None:  # noqa: ARG002
        gone = WORLD / "gone"
        patterns = gone.read_text().split() if gone.exists() else []
        if any(re.search(each, self._file(resource.id).name) for each in patterns):
            return None
        return resource

    def _note(self, operation: str, call: Call) -> None:
        if self._kind == "Command":
            with (WORLD / "commands").open("a", encoding="utf-8") as log:
                log.write(f"{operation}:{call.name}\n")

    def _file(self, name: str) -> Path:
        return WORLD / f"{self._prefix}.{name.replace('/', '_')}"

    def _outputs(self, call: Call) -> dict[str, Any]:
        if self._kind == "RemoteImage":
            return {"imageId": f"sha256:{call.inputs['name']}", "repoDigest": ""}
        if self._prefix == "libvirt.Volume":
            return {"size": call.inputs.get("size", 1)}
        if self._kind != "Command":
            return {}
        stdout = "{}"
        if call.name.endswith("keygen"):
            stdout = _key_pair()
        elif call.name.endswith("-boot"):
            stdout = "10.90.0.10\n"
        return {"stdout": stdout, "stderr": ""}


def _key_pair() -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "key")
        subprocess.run(
            ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", file), check=True
        )
        return file.read_text() + file.with_suffix(".pub").read_text()


if __name__ == "__main__":
    plugin = sys.argv[1]
    served = package(plugin.removeprefix(PREFIX))
    things = tuple(_Thing(each) for each in served.handlers)
    serve_package(
        plugin,
        replace(served, connect=lambda _: _Connection(), handlers=things),
        sys.argv[2:],
    )
