"""The end of the lab that the scenarios before this one have shared."""

import subprocess
from pathlib import Path

from lab.commands import PROJECT
from tests.e2e.driver import LAB, Driver


def test_down_leaves_nothing(driver: Driver) -> None:
    root = driver.datacentre.root
    driver.ok("down")
    assert not root.exists()
    assert not (PROJECT / ".gatehouse" / LAB).exists()
    assert str(root) not in Path("/proc/mounts").read_text()
    left = subprocess.run(
        ["pgrep", "--full", "--list-full", str(root)], check=False, capture_output=True, text=True
    )
    assert left.stdout == ""
    assert driver.ok("down").code == 0, "and again, with nothing there, it is fine"
