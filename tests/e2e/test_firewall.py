"""The rules of the VMs' firewall, as the real nft reads them."""

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.vm import firewall
from components.vm.firewall import Grant
from tests.unit.test_firewall import grants

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="nft takes a network namespace of its own: run this as root"
)


@given(st.lists(grants, max_size=30))
def test_nft_takes_whatever_is_granted(several: list[Grant]) -> None:
    told = subprocess.run(
        ("unshare", "--net", "nft", "--file", "-"),
        input=firewall.ruleset(several) * 2,  # as when the next grant comes
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
