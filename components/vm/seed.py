"""The disk that cloud-init reads at a VM's first boot: NoCloud, as an ISO image.

An ordinary volume to libvirt. The provider has a resource for it too, which reads the whole disk
back at each refresh, and can fail or hang in that; docs/adr/0007 has the figures.
"""

import io
from collections.abc import Mapping

import pycdlib

_LABEL = "cidata"  # by which cloud-init finds the disk
_LEVEL = 3  # of ISO 9660; Rock Ridge and Joliet have the real names


def image(documents: Mapping[str, str]) -> bytes:
    """Return an ISO image with ``documents``, by their file names such as ``user-data``."""
    disk = pycdlib.PyCdlib()
    disk.new(interchange_level=_LEVEL, vol_ident=_LABEL, rock_ridge="1.09", joliet=3)
    for number, (name, text) in enumerate(sorted(documents.items())):
        content = text.encode()
        disk.add_fp(
            io.BytesIO(content),
            len(content),
            f"/DOCUMENT.{number};1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    written = io.BytesIO()
    disk.write_fp(written)
    disk.close()
    return written.getvalue()


def documents(image: bytes) -> dict[str, str]:
    """Return what ``image`` was made of."""
    disk = pycdlib.PyCdlib()
    disk.open_fp(io.BytesIO(image))
    found = {}
    for child in disk.list_children(joliet_path="/"):
        if child.is_file():
            name = child.file_identifier().decode("utf-16-be")
            content = io.BytesIO()
            disk.get_file_from_iso_fp(content, joliet_path=f"/{name}")
            found[name.removesuffix(";1")] = content.getvalue().decode()
    disk.close()
    return found
