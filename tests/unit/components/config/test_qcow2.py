"""An incomplete image is detected, and a complete one from QEMU's own tool is not."""

import io
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from components.config.qcow2 import is_cut
from components.vm import seed

KINDS = {
    "plain": (),
    "compressed": ("-c",),
    "old": ("-o", "compat=0.10"),
    "small-clusters": ("-o", "cluster_size=4k"),
    "large-clusters": ("-o", "cluster_size=2M"),
    "extended": ("-o", "extended_l2=on"),
    "preallocated": ("-o", "preallocation=metadata"),
}


def cut(content: bytes) -> bool:
    return is_cut(io.BytesIO(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_that_broke_off_is_noticed(kind: str, tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("needs qemu-img")
    generator = random.Random(1)  # noqa: S311 - of a test
    raw, image = tmp_path / "raw", tmp_path / "image.qcow2"
    with raw.open("wb") as file:
        for place in (0, 5, 9, 30):  # MiB, with holes between them
            file.seek(place << 20)
            file.write(generator.randbytes(300_000) + b"text " * 100_000)
        file.truncate(64 << 20)
    subprocess.run(("qemu-img", "convert", "-O", "qcow2", *KINDS[kind], raw, image), check=True)
    content = image.read_bytes()
    assert not cut(content)
    with image.open("rb") as file:
        assert not is_cut(file)
    # What is missing of the last cluster alone is not noticed.
    last = (2 << 20) if kind == "large-clusters" else len(content) // 10
    for length in (
        len(content) - last,
        *(generator.randrange(32, len(content) - last) for _ in range(20)),
    ):
        assert cut(content[:length])


def test_the_seed_disk_is_whole() -> None:
    content = seed.qcow2(os.urandom(4 << 16))
    assert not cut(content)
    assert cut(content[: 8 << 16])
