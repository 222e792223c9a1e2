"""Four whole configs, and the whole files that come of them, to be reviewed as files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc

from components.config.check import raw_config
from components.config.machine import MachineFacts
from tests.support import golden, program, seeds

FOLDERS = ("one-vm", "shop", "bridge", "tcp", "everything")


@pytest.fixture(params=FOLDERS)
def stack(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, program.Run]:
    monkeypatch.chdir(tmp_path)
    folder = golden.FOLDER / request.param
    raw = raw_config((folder / "stack.yaml").read_text())
    if (folder / "pages").exists():
        shutil.copytree(folder / "pages", tmp_path / "pages")
    monkeypatch.setattr(
        "components.config.machine.facts",
        lambda _: MachineFacts(edge_addresses=("192.0.2.5",), own_addresses=("192.0.2.5",)),
    )
    farm = raw["farm"]
    addresses = {
        f"{farm.get('name', 'web')}-{index}": f"10.90.0.{10 + index}"
        for index in range(farm["vms"])
    }
    return request.param, program.run(raw, addresses=addresses)


def plain(value: Any) -> Any:
    return rpc.unwrap_rpc_secret(value) if rpc.is_rpc_secret(value) else value


def test_what_the_edge_is_told(stack: tuple[str, program.Run]) -> None:
    name, run = stack
    golden.check(f"{name}/edge.txt", run.edge_input)


def test_what_docker_is_told(stack: tuple[str, program.Run]) -> None:
    name, run = stack
    lines = []
    for slot, container in run.of_type("docker:index/container:Container").items():
        lines.append(f"{slot}\n")
        for key, value in sorted(container.inputs.items()):
            if key == "labels":
                lines += [f"    label {each['label']}={each['value']}\n" for each in value]
            else:
                mark = "(secret) " if rpc.is_rpc_secret(value) else ""
                text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False)
                lines.append(f"    {key}: {mark}{text}\n")
    golden.check(f"{name}/containers.txt", "".join(lines))


def test_what_the_first_vm_is_told(stack: tuple[str, program.Run]) -> None:
    name, run = stack
    disks = run.of_type("libvirt:index/volume:Volume")
    first = next(disk for key, disk in disks.items() if key.endswith("-cloudinit"))
    documents = seeds.documents(Path(first.inputs["source"]).read_bytes())
    golden.check(f"{name}/user-data.yaml", documents["user-data"])
    if "network-config" in documents:
        golden.check(f"{name}/network-config.yaml", documents["network-config"])


def test_secrets_are_secret(stack: tuple[str, program.Run]) -> None:
    _, run = stack
    for resource in run.resources.values():
        for key, value in resource.inputs.items():
            if "DATABASE_PASSWORD" in str(value) or "encrypted" in str(value):
                assert "4dabf18193072939515e22adb298388d" in str(value), f"{resource.name}.{key}"
