"""The names that both sides use are the same in files of other languages."""

from remote import names
from remote.vm_agent.traefik_files import NOWHERE


def test_traefiks_file_has_the_transports_that_labels_name() -> None:
    for name in (names.PASSED_ON, names.PASSED_ON_WITH_ADDRESS):
        assert f"\n    {name.removesuffix('@file')}: {{" in NOWHERE
