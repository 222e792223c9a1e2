"""Keys of other tools, for errors about keys that Gatehouse does not have.

From the schema of the Compose Specification (with Swarm's `deploy`), Kamal 2's deploy.yml, Nomad's
jobs and Kubernetes' workloads; `directives` has those of proxies. By the model with the key.
"""

import re
from collections.abc import Mapping

from components.config import directives, opposites
from components.config.models.base import Called
from components.config.models.http import Http

_NO_FILES = "build the file into the image, or mount a folder of the VM with volumes[].host"
_NO_NAMESPACES = "containers share no namespaces with each other or with the VM"
_NO_DEVICES = "containers get no devices of the VM"
_NO_TUNING = "Docker's defaults apply"
_NETWORKS = "services reach each other through the edge, by domain or tcp.port"
_RUNS_IMAGES = "build and push the image first, and name it in `image`"
_UPDATES = "updates always start new containers first, and stop old ones once the new ones serve"
_DEPLOYING = "Gatehouse deploys with `pulumi up`, from this machine"

RENAMED: Mapping[str, Mapping[str, str]] = {
    "Stack": {
        **dict.fromkeys(("containers", "jobs", "job", "group", "task"), "services"),
        **dict.fromkeys(("servers", "nodes"), "farm"),
        "vms": "farm.vms",
        **dict.fromkeys(("proxy", "traefik", "ingress", "loadbalancer", "haproxy"), "edge"),
        **dict.fromkeys(("registry", "image_pull_secrets"), "registries"),
        "image": "services.<name>.image",
        "replicas": "services.<name>.replicas",
        "volumes": "services.<name>.volumes",
        "labels": "services.<name>.labels",
        "env": "services.<name>.env or services.<name>.secret_env",
        "secrets": "services.<name>.secret_env",
        "hypervisors": "farm.hypervisors",
        "network": "farm.network",
        "error_pages_path": "services.<name>.http.error_pages",
        "drain_timeout": "services.<name>.stop_grace",
        "stop_timeout": "services.<name>.stop_grace",
        "deploy_timeout": "services.<name>.start_timeout",
        "constraint": "services.<name>.placement",
        "affinity": "services.<name>.placement",
        "spread": "services.<name>.placement",
    },
    "Service": {
        # Compose and Swarm
        "environment": "env or secret_env",
        "cap_add": "capabilities",
        "cpu_count": "cpus",
        "mem_limit": "memory",
        "memory_limit": "memory",
        "pids_limit": "pids",
        "scale": "replicas",
        "healthcheck": "health",
        "stop_grace_period": "stop_grace",
        "secrets": "secret_env",
        # Kamal
        "cmd": "command",
        "app_port": "port",
        "host": "hosts",
        "domains": "hosts",
        "domain": "hosts",
        "path_prefix": "path",
        "path_prefixes": "path",
        "strip_path_prefix": "strip_path",
        "proxy": "hosts, path, port and http",
        "stop_timeout": "stop_grace",
        "drain_timeout": "stop_grace",
        "deploy_timeout": "start_timeout",
        "servers": "placement.vms",
        "roles": "placement.vms",
        # Nomad
        "count": "replicas",
        "constraint": "placement",
        "affinity": "placement",
        "spread": "placement",
        "kill_timeout": "stop_grace",
        "volume": "volumes",
        "volume_mount": "volumes",
        "check": "health",
        "healthy_deadline": "start_timeout",
        "progress_deadline": "start_timeout",
        # Kubernetes
        "instances": "replicas",
        "container_port": "port",
        "liveness_probe": "health",
        "readiness_probe": "health",
        "startup_probe": "health and start_timeout",
        "volume_mounts": "volumes",
        "mounts": "volumes",
        "node_selector": "placement.vms",
        "node_name": "placement.vms",
        "topology_spread_constraints": "placement.max_per_vm",
        "restart_policy": "restart",
        "termination_grace_period_seconds": "stop_grace",
        "progress_deadline_seconds": "start_timeout",
        "ingress": "hosts, path and http",
        "env_from": "env or secret_env",
        # Words of proxies
        "basicauth": "http.basic_auth",
        "ratelimit": "http.rate_limit",
        "protocol": "http.protocol, or tcp for what is not HTTP",
    },
    "Health": {
        "test": "command",
        "cmd": "command",
        "exec": "command",
        "url": "path",
        "uri": "path",
        "http_get": "path",
        "period_seconds": "interval",
        "timeout_seconds": "timeout",
        "failure_threshold": "retries",
        "initial_delay_seconds": "start_period",
        "grace": "start_period",
    },
    "Volume": {
        **dict.fromkeys(("target", "destination", "container_path", "mount_path", "dst"), "path"),
        **dict.fromkeys(("source", "src", "volume"), "name or host"),
        **dict.fromkeys(("bind", "host_path"), "host"),
        **dict.fromkeys(("readonly", "ro"), "read_only"),
    },
    "Placement": {
        "max_replicas_per_node": "max_per_vm",
        **dict.fromkeys(("vm", "constraints", "nodes", "hosts", "servers"), "vms"),
    },
    "Tcp": {
        "published": "port",
        "host_port": "port",
        "timeout": "idle_timeout",
        "send_proxy": "proxy_protocol",
    },
    "Http": {
        "auth": "basic_auth",
        "users": "basic_auth",
        "strategy": "balance",
    },
    "RateLimit": {"average": "requests", "period": "per", "limit": "requests"},
    "Registry": {
        "user": "username",
        "login": "username",
        "token": "password",
        "access_token": "password",
        "auth": "username and password",
    },
    "Farm": {
        **dict.fromkeys(("vm", "count", "nodes", "servers", "instances", "replicas"), "vms"),
        **dict.fromkeys(("cpu", "cpus", "cores", "vcpu"), "vcpus"),
        **dict.fromkeys(("ram", "mem", "memory_mb"), "memory"),
        **dict.fromkeys(("storage", "disk_size"), "disk"),
        **dict.fromkeys(("hypervisor", "uri", "libvirt", "hosts"), "hypervisors"),
        **dict.fromkeys(("networks", "subnet"), "network"),
        **{key: f"network.{key}" for key in ("bridge", "cidr", "addresses", "gateway", "dns")},
        "prefix": "name",
        "mirror": "registry_mirror",
    },
    "Network": {"subnet": "cidr", "addresses_from": "addresses", "nameservers": "dns"},
    "Hypervisor": {"url": "uri", "connect": "uri", "folder": "pool"},
}
"""Gatehouse's keys by other tools' keys: a key of the model, with dots in it, or a phrase."""

ABSENT: Mapping[str, Mapping[str, str]] = {
    "Stack": {
        "version": "the format has no version; remove it",
        "name": "Pulumi names the stack, and farm.name the VMs",
        "include": "write all services into one file",
        "networks": _NETWORKS,
        "configs": _NO_FILES,
        "models": "run the model as a service",
        "builder": _RUNS_IMAGES,
        "accessories": "databases and caches are services, with tcp",
        "ssh": "VMs get keys that Gatehouse makes; `make ssh` uses them",
        "sshkit": "VMs get keys that Gatehouse makes; `make ssh` uses them",
        **dict.fromkeys(("aliases", "hooks_path", "hooks_output", "primary_role"), _DEPLOYING),
        **dict.fromkeys(("require_destination", "allow_empty_roles", "boot"), _DEPLOYING),
        **dict.fromkeys(("run_directory", "minimum_version", "output"), _DEPLOYING),
        **dict.fromkeys(("retain_containers", "readiness_delay", "secrets_path"), _DEPLOYING),
        "asset_path": "serve assets from the image, under names with digests",
        "logging": "Docker's logs are kept up to 30 MB a container; see `docker logs`",
        **dict.fromkeys(("update", "strategy"), _UPDATES),
        **dict.fromkeys(("periodic", "parameterized"), "run jobs from cron or a systemd timer"),
        **dict.fromkeys(("type", "all_at_once", "priority"), "all services are deployed together"),
        **dict.fromkeys(("region", "namespace", "multiregion"), "use a Pulumi stack for each"),
        **dict.fromkeys(("migrate", "reschedule"), "containers stay on their VM; see placement"),
        **dict.fromkeys(("vault", "consul", "consul_token"), "secrets go into secret_env"),
        "meta": "use services.<name>.labels",
        **dict.fromkeys(("api_version", "kind", "metadata", "spec"), "write their keys at the top"),
    },
    "Service": {
        # Compose
        "develop": _RUNS_IMAGES,
        "build": _RUNS_IMAGES,
        "deploy": "its parts are keys of the service: replicas, placement, cpus, memory, restart",
        "annotations": "use labels",
        **dict.fromkeys(("attach", "stdin_open", "stdin", "tty"), "no terminal is attached"),
        **dict.fromkeys(("blkio_config", "storage_opt", "shm_size"), _NO_TUNING),
        "cap_drop": "containers have no capabilities except those listed in capabilities",
        **dict.fromkeys(("cgroup", "cgroup_parent", "ipc", "pid", "uts"), _NO_NAMESPACES),
        **dict.fromkeys(("userns_mode", "network_mode", "host_network"), _NO_NAMESPACES),
        **dict.fromkeys(("configs", "config", "env_file", "label_file", "template"), _NO_FILES),
        "container_name": "containers are called <service>-<vm>-<number>",
        **dict.fromkeys(("cpu_shares", "cpu_period", "cpuset"), "use cpus"),
        **dict.fromkeys(("cpu_rt_period", "cpu_rt_runtime"), "use cpus"),
        **dict.fromkeys(("credential_spec", "isolation"), "it is for Windows"),
        "depends_on": "services start at the same time; the application has to try again",
        **dict.fromkeys(("devices", "device", "device_cgroup_rules", "gpus"), _NO_DEVICES),
        **dict.fromkeys(
            ("dns", "dns_opt", "dns_search", "dns_config"), "the VM's resolver is used"
        ),
        **dict.fromkeys(
            ("hostname", "domainname"), "containers are called <service>-<vm>-<number>"
        ),
        **dict.fromkeys(("extra_hosts", "host_aliases"), "put the name into DNS"),
        **dict.fromkeys(
            ("expose", "ports"), "clients come through the edge; port is the container's"
        ),
        "entrypoint": "command replaces the image's CMD, and its ENTRYPOINT stays",
        "extends": "use YAML anchors",
        "provider": "run what it provides as a service, or outside",
        **dict.fromkeys(("external_links", "links", "networks", "connect"), _NETWORKS),
        "group_add": "give the group with user, as in 1000:1000",
        "init": "let the image reap its processes, for instance with tini",
        "logging": "Docker's logs are kept up to 30 MB a container; see `docker logs`",
        "logs": "Docker's logs are kept up to 30 MB a container; see `docker logs`",
        "mac_address": "Docker chooses it",
        **dict.fromkeys(("mem_reservation", "mem_swappiness"), "use memory"),
        **dict.fromkeys(("memswap_limit", "memory_max"), "containers have no swap beyond memory"),
        **dict.fromkeys(("oom_kill_disable", "oom_score_adj"), "use memory"),
        "models": "run the model as a service",
        "name": "a service is called by its key in services",
        "platform": "name an image for the VMs' architecture",
        "post_start": "the image's own command has to do it",
        **dict.fromkeys(
            ("pre_stop", "lifecycle"), "containers leave the edge before they are stopped"
        ),
        **dict.fromkeys(("privileged", "security_opt", "security_context"), "use capabilities"),
        "profiles": "use a Pulumi stack for each",
        "pull_policy": "name another tag or digest to get another image",
        "image_pull_policy": "name another tag or digest to get another image",
        "image_pull_secrets": "logins are in registries",
        "pull_refresh_after": "name another tag or digest to get another image",
        "runtime": "Docker's default runtime is used",
        **dict.fromkeys(("stop_signal", "kill_signal"), "the image's STOPSIGNAL is used"),
        **dict.fromkeys(("sysctls", "sysctl", "ulimits", "ulimit"), _NO_TUNING),
        "tmpfs": "use a volume with a name",
        "use_api_socket": "containers have no access to Docker",
        "volumes_from": "give each service its volumes",
        "working_dir": "the image's WORKDIR is used",
        "work_dir": "the image's WORKDIR is used",
        # Swarm
        **dict.fromkeys(("mode", "endpoint_mode"), "set replicas"),
        **dict.fromkeys(("update_config", "rollback_config", "update", "strategy"), _UPDATES),
        "resources": "its parts are keys of the service: cpus, memory, pids",
        # Kamal
        "ssl": "HTTPS is for all services, in edge.tls",
        "tls": "HTTPS is for all services, in edge.tls",
        "ssl_redirect": "with edge.tls, HTTP redirects to HTTPS",
        "forward_headers": "the edge sets X-Forwarded-For and X-Forwarded-Proto",
        "buffering": "limit bodies with http.max_body",
        "asset_path": "serve assets from the image, under names with digests",
        "options": "options of `docker run` are keys of the service",
        **dict.fromkeys(("files", "directories"), _NO_FILES),
        "registry": "logins are in registries, at the top of the file",
        **dict.fromkeys(("role", "tags", "tag"), "see placement"),
        # Nomad
        **dict.fromkeys(("group", "task", "job"), "write its keys directly under the service"),
        "driver": "all services are Docker containers",
        "type": "all services run until they are removed",
        "args": "write them into command",
        **dict.fromkeys(("artifact", "dispatch_payload"), _RUNS_IMAGES),
        **dict.fromkeys(("csi_plugin", "numa"), _NO_DEVICES),
        **dict.fromkeys(("action", "schedule"), "`make ssh` runs commands on a VM"),
        "ephemeral_disk": "use a volume with a name",
        **dict.fromkeys(("migrate", "reschedule"), "containers stay on their VM; see placement"),
        **dict.fromkeys(
            ("disconnect", "stop_after_client_disconnect", "max_client_disconnect"),
            "containers stay on their VM; see placement",
        ),
        "scaling": "set replicas",
        **dict.fromkeys(("periodic", "parameterized"), "run jobs from cron or a systemd timer"),
        "leader": "make each container a separate service",
        **dict.fromkeys(("vault", "consul", "identity"), "secrets go into secret_env"),
        "meta": "use labels",
        "network": "port is the container's; clients come through the edge",
        "service": "each key of services is one",
        "shutdown_delay": "containers leave the edge before they are stopped; see stop_grace",
        **dict.fromkeys(("priority", "region", "datacenters", "namespace"), "see placement"),
        # Kubernetes
        **dict.fromkeys(("containers", "sidecars"), "make each container a separate service"),
        "init_containers": "the image's own command has to do it",
        **dict.fromkeys(("tolerations", "priority_class_name"), "see placement"),
        "service_account_name": "containers have no access to Docker",
        **dict.fromkeys(
            ("metadata", "spec", "selector"), "write its keys directly under the service"
        ),
        "min_ready_seconds": "a container joins once its health check passes",
        "revision_history_limit": "Pulumi's state has the history",
    },
    "Health": {
        "start_interval": "HTTP is checked 4 times a second at first, command each interval",
        "success_threshold": "one success is enough",
        "type": "HTTP is checked by path, TCP by connecting, and command by its exit code",
    },
    "Volume": {
        "type": "name makes a volume of Docker, host mounts a folder of the VM",
        **dict.fromkeys(("consistency", "nocopy", "subpath", "image"), _NO_TUNING),
        "tmpfs": "use a volume with a name",
        **dict.fromkeys(("external", "driver", "driver_opts"), "volumes are Docker's local ones"),
    },
    "Placement": {
        "preferences": "Gatehouse spreads containers over the VMs; see vms and max_per_vm",
    },
    "Tcp": {
        "target": "the container's port is the service's `port`",
        "protocol": "it is always TCP; Gatehouse forwards no UDP",
        **dict.fromkeys(("host_ip", "bind"), "all services listen on edge.bind"),
        "mode": "clients come through the edge",
    },
    "Registry": {"server": "the registry's host is its key in registries"},
    "Http": {
        **dict.fromkeys(("ssl", "tls"), "HTTPS is for all services, in edge.tls"),
        "cors": "the application answers preflights; see headers",
        "forward_headers": "the edge sets X-Forwarded-For and X-Forwarded-Proto",
        "request_headers": "headers of requests pass as they are",
        "buffering": "limit bodies with max_body",
    },
    "Farm": {
        "ssh_keys": "VMs get keys that Gatehouse makes; `make ssh` uses them",
        "user": "VMs have the user gatehouse",
    },
    "Acme": {"port": "HAProxy itself answers challenges; leave it out"},
    "Edge": {"ssh": "see host, user, ssh_port and host_key", "ssl_redirect": "see tls"},
}
"""The advice for keys without a counterpart in Gatehouse."""


def hint(model: str, key: str) -> str | None:
    """Return the hint for a key of another tool; None if no known tool has it.

    Args:
        model: The name of the model that the key was written in.
        key: As it was written; case, hyphens and underscores do not count.
    """
    found = _RENAMED.get(model, {}).get(plain(key))
    if found is not None:
        return f"Gatehouse calls it {found}"
    found = _ABSENT.get(model, {}).get(plain(key))
    if found is not None:
        return f"Gatehouse has no {key}: {found}"
    if model in ("Stack", "Edge"):
        return _of_a_service(key)
    if key.startswith("x-"):
        return "Gatehouse has no extension fields; remove it"
    return None


def _of_a_service(key: str) -> str | None:
    """Return the hint for a key that belongs to a service, written at the top or at the edge."""
    found = _RENAMED["Service"].get(plain(key))
    if found is not None:
        return f"Gatehouse has no {key} here: services.<name> has {found} for it"
    return hint("Service", key)


def plain(key: str) -> str:
    """Return a key in lower case, without the characters that separate its words."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _by_plain(*tables: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for model, words in (each for table in tables for each in table.items()):
        found[model] = {plain(key): text for key, text in words.items()} | found.get(model, {})
    return found


def _words() -> Mapping[str, Mapping[str, str]]:
    """Return the words of `Called` in the model of a service's ``http``."""
    inside = {
        word: key
        for key, field in Http.model_fields.items()
        for each in field.metadata
        if isinstance(each, Called)
        for word in each.words.split()
    }
    return {"Http": inside, "Service": {word: f"http.{key}" for word, key in inside.items()}}


WORDS = _words()
_RENAMED = _by_plain(RENAMED, directives.RENAMED, WORDS)
_ABSENT = _by_plain(opposites.ABSENT, ABSENT, directives.ABSENT)
