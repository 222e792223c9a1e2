"""Detects incomplete qcow2 images, as an interrupted download leaves them.

QEMU's docs/interop/qcow2.txt describes the format. QEMU itself boots an incomplete image, and reads
zeros where content is missing. This module reads only the tables, 8 bytes per cluster of 64 KiB.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">Q")
_EXTERNAL, _EXTENDED = 1 << 2, 1 << 4
_PLACE = (1 << 56) - (1 << 9)
_COMPRESSED = 1 << 62
_SECTOR = 512


def is_cut(file: BinaryIO) -> bool:
    """Whether an image ends before a cluster that its tables refer to.

    Args:
        file: The image, which begins as a qcow2 image does.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return True
    _, version, _, _, bits, _, _, entries, place, counts, count_clusters, _, _ = _HEADER.unpack(
        head
    )
    features = 0
    if version > 2:
        features = _FEATURES.unpack(file.read(_FEATURES.size).ljust(_FEATURES.size, b"\0"))[0]
    if features & _EXTERNAL or not 9 <= bits <= 21:
        return False  # this check cannot judge these, QEMU does
    if max(counts + (count_clusters << bits), place + 8 * entries) > size:
        return True
    width = 16 if features & _EXTENDED else 8
    for table in _entries(file, place, 8 * entries, 8):
        if not (at := table & _PLACE):
            continue
        if at + (1 << bits) > size:
            return True
        if any(_last(each, bits) >= size for each in _entries(file, at, 1 << bits, width)):
            return True
    return False


def _last(entry: int, bits: int) -> int:
    """Return an offset within the content that a table's entry refers to; 0 if it refers to none.

    The last cluster of an image may end early, and the last sector of compressed content too.
    """
    if entry & _COMPRESSED:
        shift = 62 - (bits - 8)
        place = entry & ((1 << shift) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> shift
        return max(place, (place // _SECTOR + sectors) * _SECTOR)
    return entry & _PLACE


def _entries(file: BinaryIO, place: int, length: int, width: int) -> Iterator[int]:
    file.seek(place)
    table = file.read(length)
    for (entry,) in struct.iter_unpack(f">Q{width - 8}x", table[: len(table) // width * width]):
        yield entry
