"""How many connections the edge takes, by its host's memory."""

from components.config.models.edge import Edge
from remote.edge_agent.bundle import Bundle
from remote.edge_agent.facts import read
from remote.edge_agent.memory import connections, descriptors, limited
from tests.unit.components.edge.test_http import given_to_the_edge


def test_a_host_has_room_for_as_many_as_half_of_its_memory_holds() -> None:
    assert connections(2**30) == 4096
    assert connections(16 * 2**30) == 65_536
    assert connections(2**20) == 500, "a few it always takes"


def test_the_limit_is_the_hosts_unless_the_config_says_one() -> None:
    for edge, limit in ((Edge(), 4096), (Edge(max_connections=20_000), 20_000)):
        given = given_to_the_edge(edge)
        assert "fd-hard-limit" not in given.config
        made = limited(given, read(given.files).max_connections, 2**30)
        assert made.config == f"{given.config}\nglobal\n    fd-hard-limit {descriptors(limit)}\n"


def test_checks_take_no_connections() -> None:
    few, many = (limited(Bundle("", {}), 100, 2**30, checks).config for checks in (0, 1000))
    assert few == f"\nglobal\n    fd-hard-limit {descriptors(100)}\n"
    assert many == f"\nglobal\n    fd-hard-limit {descriptors(100) + 1000}\n"


def test_this_hosts_own_memory_counts_and_never_differs() -> None:
    one = limited(Bundle("global\n", {}), None)
    assert one == limited(Bundle("global\n", {}), None)
    assert "fd-hard-limit" in one.config
