"""How many connections the edge takes, by its host's memory."""

from components.config.models.edge import Edge
from remote.edge_agent.bundle import Bundle, take_apart
from remote.edge_agent.memory import UNSAID, connections, descriptors, limited
from tests.unit.components.edge.test_http import rendered


def test_a_host_has_room_for_as_many_as_half_of_its_memory_holds() -> None:
    assert connections(2**30) == 4096
    assert connections(16 * 2**30) == 65_536
    assert connections(2**20) == 500, "a few it always takes"


def test_the_limit_is_the_hosts_unless_the_config_says_one() -> None:
    unsaid = take_apart(rendered())
    assert unsaid.config.count(UNSAID) == 1
    made = limited(unsaid, 2**30).config.splitlines()
    assert f"    fd-hard-limit {descriptors(4096)}" in made
    assert len(made) == len(unsaid.config.splitlines())
    said = take_apart(rendered(Edge(max_connections=20_000)))
    assert f"    fd-hard-limit {descriptors(20_000)}\n" in said.config
    assert limited(said, 2**30) == said


def test_this_hosts_own_memory_counts_and_never_differs() -> None:
    one = limited(Bundle(f"    {UNSAID}\n", {}))
    assert one == limited(Bundle(f"    {UNSAID}\n", {}))
    assert "fd-hard-limit" in one.config
