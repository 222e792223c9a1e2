"""Storage pools and volumes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from lab.providers.handler import Call, Created, FixedHandler, Resource, copy_of
from lab.providers.provider_errors import ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props
from lab.providers.virsh_client import NotThere, Virsh, local_file, text_of

_QCOW2_MAGIC = b"QFI\xfb\x00\x00\x00\x03"


class LibvirtPool(FixedHandler[Virsh]):
    """`libvirt:index/pool:Pool`, of type `dir`."""

    schema = Schema(
        type="libvirt:index/pool:Pool",
        inputs={
            "name": Effect.REPLACE,
            "type": Effect.REPLACE,
            "target.path": Effect.REPLACE,
        },
        required=("type", "target"),
        autonamed=True,
    )

    def create(self, connection: Virsh, call: Call) -> Created:
        """Define the pool, make its folder and start it."""
        name, path = call.inputs["name"], call.inputs["target"]["path"]
        if call.inputs["type"] != "dir":
            raise ProviderError(f"type: the lab implements dir (got {call.inputs['type']})")
        document = ET.Element("pool", type="dir")
        ET.SubElement(document, "name").text = name
        ET.SubElement(ET.SubElement(document, "target"), "path").text = path
        with connection.pools[name]:
            connection.define("pool-define", document)
            try:
                connection("pool-build", name)
                connection("pool-autostart", name)
                connection("pool-start", name)
            except ProviderError:
                connection("pool-undefine", name)
                raise
        return Created(connection("pool-uuid", name).strip(), {})

    def delete(self, connection: Virsh, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Stop the pool and delete its folder, which has to be empty."""
        try:
            document = connection.xml("pool-dumpxml", old.id)
        except NotThere:
            return
        name = text_of(document, "name")
        with connection.pools[name]:
            if _active(connection, name):
                connection("pool-destroy", name)
            if Path(text_of(document, "target/path")).is_dir():
                connection("pool-delete", name)
            connection("pool-undefine", name)

    def read(self, connection: Virsh, resource: Resource) -> Resource | None:
        """Look it up by its UUID, and start it if it is off, as the provider does for volumes."""
        try:
            document = connection.xml("pool-dumpxml", resource.id)
        except NotThere:
            return None
        name = text_of(document, "name")
        if not _active(connection, name):
            connection("pool-start", name)
        path = text_of(document, "target/path")
        return copy_of(resource, inputs={**resource.inputs, "target": {"path": path}})


def _active(connection: Virsh, pool: str) -> bool:
    lines = connection("pool-info", pool).splitlines()
    return any(line.split() == ["State:", "running"] for line in lines)


class _InPool(FixedHandler[Virsh]):
    """The common part of a volume and a cloud-init disk: a volume in a pool."""

    def delete(self, connection: Virsh, call: Call, old: Resource) -> None:
        """Delete the volume; it may be gone already."""
        key = _key(old.id)
        pool = call.inputs["pool"]
        with connection.pools[pool]:
            try:
                connection("pool-refresh", pool)
                connection("vol-delete", key)
            except NotThere:
                return

    def read(self, connection: Virsh, resource: Resource) -> Resource | None:
        """Look it up by its key."""
        try:
            connection("vol-key", _key(resource.id))
        except NotThere:
            return None
        return resource

    def _make(self, connection: Virsh, pool: str, document: ET.Element) -> str:
        """Create an empty volume and return its key."""
        connection("pool-refresh", pool)
        connection(
            "vol-create", pool, "/dev/stdin", stdin=ET.tostring(document, encoding="unicode")
        )
        return connection("vol-key", "--pool", pool, text_of(document, "name")).strip()

    def _upload(self, connection: Virsh, key: str, file: Path) -> None:
        try:
            connection("vol-upload", key, str(file), limit=600)
        except ProviderError:
            connection("vol-delete", key)
            raise


def _key(identifier: str) -> str:
    return identifier.partition(";")[0]


def _volume(name: str, capacity: int, form: str) -> ET.Element:
    document = ET.Element("volume")
    ET.SubElement(document, "name").text = name
    ET.SubElement(document, "capacity", unit="bytes").text = str(capacity)
    target = ET.SubElement(document, "target")
    ET.SubElement(target, "format", type=form)
    ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "644"
    return document


class LibvirtVolume(_InPool):
    """`libvirt:index/volume:Volume`: a copy of an image, or a layer on another volume."""

    schema = Schema(
        type="libvirt:index/volume:Volume",
        inputs=dict.fromkeys(
            ("name", "pool", "source", "size", "format", "baseVolumeId"), Effect.REPLACE
        ),
        required=("pool",),
        autonamed=True,
    )

    def create(self, connection: Virsh, call: Call) -> Created:
        """Create the volume and fill it; like the provider, adopt one of the same name."""
        inputs = call.inputs
        pool, name = inputs["pool"], inputs["name"]
        with connection.pools[pool]:
            try:
                key = connection("vol-path", "--pool", pool, name).strip()
                call.say(f"volume {name} exists already and is taken as it is")
            except NotThere:
                key = (
                    self._copy(connection, inputs)
                    if "source" in inputs
                    else self._layer(connection, inputs)
                )
        return Created(key, {"size": int(_info(connection, key)["capacity"])})

    def _copy(self, connection: Virsh, inputs: Props) -> str:
        if "size" in inputs or "baseVolumeId" in inputs:
            raise ProviderError("'size' and 'base_volume_id' can't be specified beside 'source'")
        file = local_file(inputs["source"])
        with file.open("rb") as image:
            is_qcow2 = image.read(8) == _QCOW2_MAGIC
        form = "qcow2" if is_qcow2 else inputs.get("format", "qcow2")
        if is_qcow2 and inputs.get("format", "qcow2") != "qcow2":
            raise ProviderError(f"format: {file} is a qcow2 image (got {inputs['format']})")
        document = _volume(inputs["name"], file.stat().st_size, form)
        key = self._make(connection, inputs["pool"], document)
        self._upload(connection, key, file)
        return key

    def _layer(self, connection: Virsh, inputs: Props) -> str:
        size = int(inputs.get("size", 1))
        document = _volume(inputs["name"], size, inputs.get("format", "qcow2"))
        if "baseVolumeId" in inputs:
            base = connection.xml("vol-dumpxml", inputs["baseVolumeId"])
            capacity = int(text_of(base, "capacity"))
            if "size" in inputs and size < capacity:
                raise ProviderError(
                    f"size: when specified, it shouldn't be smaller than the backing store's "
                    f"{capacity} bytes (got {size})"
                )
            if "size" not in inputs:
                document.find("capacity").text = str(capacity)  # type: ignore[union-attr]
            store = ET.SubElement(document, "backingStore")
            ET.SubElement(store, "path").text = text_of(base, "target/path")
            form = base.find("target/format")
            if form is not None:
                ET.SubElement(store, "format", type=form.get("type", "qcow2"))
        return self._make(connection, inputs["pool"], document)


def _info(connection: Virsh, key: str) -> dict[str, str]:
    return {"capacity": text_of(connection.xml("vol-dumpxml", key), "capacity")}
