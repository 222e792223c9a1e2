import shutil
import subprocess
from pathlib import Path

import pytest

from components.vm import seed

DOCUMENTS = {
    "user-data": "#cloud-config\nhostname: ä\n" + "x" * 100_000,
    "meta-data": "instance-id: web-0\n",
    "network-config": "",
}


def test_what_goes_in_comes_out() -> None:
    assert seed.documents(seed.image(DOCUMENTS)) == DOCUMENTS


@pytest.mark.skipif(shutil.which("blkid") is None, reason="blkid is not installed here")
def test_cloud_init_finds_it_by_its_label(tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    path.write_bytes(seed.image(DOCUMENTS))
    told = subprocess.run(
        ["blkid", "-o", "export", str(path)], check=True, capture_output=True, text=True
    ).stdout
    assert "LABEL=cidata\n" in told
    assert "TYPE=iso9660\n" in told
