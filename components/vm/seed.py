"""The disk that cloud-init reads at a VM's first boot: NoCloud, an ISO image within a qcow2 one.

For libvirt it is an ordinary volume. The provider also has a resource for it, which reads the whole
disk back at each refresh, and then can fail or hang; docs/adr/0007 has the figures. It is qcow2,
because libvirt reports the format of a bare ISO image first as ``raw`` and later as ``iso``, and
the provider would replace it.
"""

import io
import struct
from collections.abc import Mapping

_LABEL = "cidata"  # by which cloud-init finds the disk
_LEVEL = 3  # of ISO 9660; Rock Ridge and Joliet have the real names


_CLUSTER = 1 << 16
_ALLOCATED = 1 << 63  # the only reference to its cluster


def image(documents: Mapping[str, str]) -> bytes:
    """Return a disk image with ``documents``, by their file names such as ``user-data``."""
    return qcow2(iso(documents))


def qcow2(content: bytes) -> bytes:
    """Return ``content``, a whole number of sectors, as a qcow2 image of version 3.

    Each table takes one cluster: header, reference counts' table and block, first and second table.
    The content follows, and may therefore have up to 512 MiB.

    Raises:
        ValueError: It is larger.
    """
    tables, clusters = 5, -(-len(content) // _CLUSTER)
    if clusters > _CLUSTER // 8:
        raise ValueError(f"{len(content)} bytes are more than one table of a qcow2 image holds")
    place = [number * _CLUSTER for number in range(tables + clusters)]
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", 3, 0, 0),  # no backing image
        *(16, len(content), 0),  # cluster bits, no encryption
        *(1, place[3], place[1], 1),
        *(0, 0, 0, 0, 0),  # no snapshots, no features
        *(4, 104),  # reference counts of 2^4 bits; the header's length
    )
    parts = (
        header,
        struct.pack(">Q", place[2]),
        struct.pack(f">{len(place)}H", *(1 for _ in place)),
        struct.pack(">Q", place[4] | _ALLOCATED),
        struct.pack(f">{clusters}Q", *(each | _ALLOCATED for each in place[tables:])),
    )
    whole = clusters * _CLUSTER
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in parts) + content.ljust(whole, b"\0")


def iso(documents: Mapping[str, str]) -> bytes:
    """Return an ISO image with ``documents``."""
    import pycdlib  # imported here, because most runs make no new VM

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
