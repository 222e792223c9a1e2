"""Reads the disk for cloud-init back."""

import io

import pycdlib

_TABLES = 5 * 65536


def documents(image: bytes) -> dict[str, str]:
    """Return the documents that ``components.vm.seed.image`` got."""
    disk = pycdlib.PyCdlib()
    disk.open_fp(io.BytesIO(image[_TABLES:]))
    found = {}
    for child in disk.list_children(joliet_path="/"):
        if child.is_file():
            name = child.file_identifier().decode("utf-16-be")
            content = io.BytesIO()
            disk.get_file_from_iso_fp(content, joliet_path=f"/{name}")
            found[name.removesuffix(";1")] = content.getvalue().decode()
    disk.close()
    return found
