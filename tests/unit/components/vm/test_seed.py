import shutil
import subprocess
from pathlib import Path

import pytest

from components.vm import seed
from tests.support import seeds

DOCUMENTS = {
    "user-data": "#cloud-config\nhostname: ä\n" + "x" * 100_000,
    "meta-data": "instance-id: web-0\n",
    "network-config": "",
}


@pytest.mark.skipif(shutil.which("blkid") is None, reason="blkid is not installed here")
def test_cloud_init_finds_it_by_its_label(tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    path.write_bytes(seed.iso(DOCUMENTS))
    told = subprocess.run(
        ["blkid", "-o", "export", str(path)], check=True, capture_output=True, text=True
    ).stdout
    assert "LABEL=cidata\n" in told
    assert "TYPE=iso9660\n" in told


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed here")
@pytest.mark.parametrize("size", [512, 65536, 65536 * 3 + 512])
def test_qemu_reads_what_went_in(tmp_path: Path, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    image, raw = tmp_path / "seed.qcow2", tmp_path / "seed.raw"
    image.write_bytes(seed.qcow2(content))
    subprocess.run(["qemu-img", "check", "-f", "qcow2", str(image)], check=True)
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(raw)], check=True)
    assert raw.read_bytes() == content


def test_more_than_its_tables_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one table"):
        seed.qcow2(bytes(512 * 2**20 + 512))


def test_what_goes_in_comes_out() -> None:
    assert seeds.documents(seed.image(DOCUMENTS)) == DOCUMENTS
