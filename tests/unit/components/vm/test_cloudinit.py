import dataclasses
import json

import yaml

from components.edge.edge_vm import EDGE
from components.host.container_vm import container_role
from components.vm import cloudinit
from tests.support import golden

GUEST = cloudinit.Guest(
    hostname="web-0",
    authorized_key="ssh-ed25519 AAAAuser gatehouse-test",
    host_key_private="-----BEGIN OPENSSH PRIVATE KEY-----\nab\n-----END OPENSSH PRIVATE KEY-----\n",
    host_key_public="ssh-ed25519 AAAAhost web-0",
    packages=("docker.io", "apparmor"),
    role=container_role("http://192.0.2.1:5000"),
)


def test_user_data() -> None:
    golden.check("user-data.yaml", cloudinit.user_data(GUEST))


def test_the_edges_user_data() -> None:
    edge = dataclasses.replace(GUEST, hostname="web-edge", packages=(), role=EDGE)
    golden.check("edge-user-data.yaml", cloudinit.user_data(edge))


def test_user_data_is_read_back_as_it_was_meant() -> None:
    text = cloudinit.user_data(GUEST)
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert document["ssh_keys"]["ed25519_private"] == GUEST.host_key_private
    assert document["disable_root"] is True
    assert "ssh_pwauth" not in document, "cloud-init would restart sshd under the first commands"
    (sshd,) = (
        f for f in document["write_files"] if f["path"].startswith("/etc/ssh/sshd_config.d/0")
    )
    assert "PasswordAuthentication no\n" in sshd["content"]
    daemon = next(f for f in document["write_files"] if f["path"] == "/etc/docker/daemon.json")
    assert json.loads(daemon["content"])["registry-mirrors"] == ["http://192.0.2.1:5000"]


def test_an_image_that_has_everything_installs_nothing() -> None:
    bare = cloudinit.Guest(**{**GUEST.__dict__, "packages": (), "role": container_role(None)})
    text = cloudinit.user_data(bare)
    assert "package" not in text
    assert "registry-mirrors" not in text


def test_a_static_address_is_found_by_the_mac() -> None:
    static = cloudinit.Static(
        mac="52:54:00:00:00:10",
        address="192.0.2.10/24",
        gateway="192.0.2.1",
        dns=("192.0.2.1", "2001:db8::1"),
    )
    golden.check("network-config.yaml", cloudinit.network_config(static))
