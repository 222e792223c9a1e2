"""The end of the lab that the scenarios before this one have shared."""

import subprocess
from pathlib import Path

from lab.commands import PROJECT
from tests.support.driver import LAB, Driver
from tests.support.person import in_the_lab


def test_everything_is_destroyed_word_for_word(driver: Driver) -> None:
    text = in_the_lab(driver).ok("pulumi destroy")
    assert "deleted" in text
    assert driver.inside("virsh", "--quiet", "list", "--all", "--name").strip() == ""
    assert driver.inside("virsh", "--quiet", "pool-list", "--all", "--name").strip() == ""


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
