"""An error for another tool's key has the key's name here, or the advice what to do instead.

The lists are the keys of the Compose Specification's schema, of Kamal's documented deploy.yml and
of Nomad's and Kubernetes' documents, as of 2026.
"""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from components.config import directives, loading, opposites, vocabulary
from components.config.loading import ConfigError, model_in, parse
from components.config.models.stack import Stack
from components.config.spelling import distance, nearest
from tests.support.configs import changed


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


COMPOSE = _words(
    "develop deploy annotations attach build blkio_config cap_add cap_drop cgroup cgroup_parent"
    " command configs container_name cpu_count cpu_percent cpu_shares cpu_quota cpu_period"
    " cpu_rt_period cpu_rt_runtime cpus cpuset credential_spec depends_on device_cgroup_rules"
    " devices dns dns_opt dns_search domainname entrypoint env_file label_file environment expose"
    " extends provider external_links extra_hosts gpus group_add healthcheck hostname image init"
    " ipc isolation labels links logging mac_address mem_limit mem_reservation mem_swappiness"
    " memswap_limit network_mode models networks oom_kill_disable oom_score_adj pid pids_limit"
    " platform ports post_start pre_stop privileged profiles pull_policy pull_refresh_after"
    " read_only restart runtime scale security_opt shm_size secrets sysctls stdin_open"
    " stop_grace_period stop_signal storage_opt tmpfs tty ulimits use_api_socket user userns_mode"
    " uts volumes volumes_from working_dir"
)
DEPLOY = _words(
    "mode endpoint_mode replicas labels rollback_config update_config resources restart_policy"
    " placement"
)
KAMAL_ROLE = _words(
    "cmd hosts stop_timeout options logging proxy labels env asset_path host app_port ssl"
    " ssl_redirect forward_headers response_timeout path_prefix path_prefixes strip_path_prefix"
    " healthcheck buffering drain_timeout deploy_timeout volumes servers files directories role"
    " roles registry tags"
)
NOMAD = _words(
    "group task count driver config env resources template artifact logs kill_timeout kill_signal"
    " leader lifecycle restart user volume_mount volume dispatch_payload constraint affinity spread"
    " ephemeral_disk network service scaling vault meta update migrate periodic parameterized"
    " reschedule priority region datacenters namespace type shutdown_delay identity action"
    " csi_plugin schedule numa consul disconnect stop_after_client_disconnect"
    " max_client_disconnect connect job"
)
KUBERNETES = _words(
    "args envFrom imagePullPolicy imagePullSecrets livenessProbe readinessProbe startupProbe"
    " lifecycle resources securityContext stdin tty volumeMounts workingDir initContainers"
    " containers nodeSelector nodeName tolerations affinity serviceAccountName hostNetwork"
    " hostAliases terminationGracePeriodSeconds topologySpreadConstraints restartPolicy"
    " minReadySeconds revisionHistoryLimit progressDeadlineSeconds strategy metadata spec"
    " containerPort"
)
COMPOSE_TOP = _words("version name include services models networks volumes secrets configs")
KAMAL_TOP = _words(
    "service image servers proxy registry builder env accessories volumes ssh sshkit labels aliases"
    " boot hooks_path asset_path error_pages_path logging primary_role require_destination"
    " allow_empty_roles retain_containers minimum_version readiness_delay deploy_timeout"
    " drain_timeout run_directory stop_timeout secrets_path output hooks_output"
)


def problem_with(place: str, key: str, value: Any = None) -> str:
    """Return the problem with a key in a config; empty if there is none."""
    try:
        parse(changed(f"{place}/{key}" if place else key, value))
    except ConfigError as error:
        found = [each for each in error.problems if "unknown key" in each]
        return found[0] if found else ""
    return ""


@pytest.mark.parametrize("key", [*COMPOSE, *DEPLOY, *KAMAL_ROLE, *NOMAD, *KUBERNETES])
def test_a_key_of_another_tools_service_has_an_answer(key: str) -> None:
    problem = problem_with("services/app", key)
    if not problem:
        return  # it is a key here too
    assert problem.startswith(f"services.app.{key}: unknown key; Gatehouse ")


NOMAD_JOB = _words(
    "type region datacenters namespace node_pool priority all_at_once constraint affinity spread"
    " group task update migrate periodic parameterized reschedule meta vault multiregion"
)


PROXIES = _words(
    "ServerName ServerAlias ProxyPass ProxyPassMatch ProxyPassReverse ProxyPreserveHost"
    " ProxyTimeout Timeout LimitRequestBody RequestReadTimeout ErrorDocument Header RequestHeader"
    " Redirect"
    " RewriteRule RewriteCond AuthType AuthUserFile Require BalancerMember Location VirtualHost"
    " SSLEngine SSLCertificateFile SSLCertificateKeyFile DocumentRoot CustomLog ErrorLog"
    " server_name listen location upstream proxy_pass proxy_read_timeout proxy_send_timeout"
    " proxy_connect_timeout client_max_body_size client_body_timeout proxy_set_header add_header"
    " error_page auth_basic auth_basic_user_file deny limit_req limit_conn gzip try_files root"
    " proxy_buffering proxy_next_upstream proxy_http_version grpc_pass ssl_certificate access_log"
    " keepalive_timeout rewrite return least_conn ip_hash server backend frontend acl use_backend"
    " httpchk reverse_proxy handle_path encode rule middlewares entrypoints stick_table"
)


@pytest.mark.parametrize("place", ["services/app", "services/app/http"])
@pytest.mark.parametrize("key", PROXIES)
def test_a_directive_of_another_proxy_has_an_answer(place: str, key: str) -> None:
    problem = problem_with(place, key)
    if key == "Timeout" and place.endswith("http"):
        assert "did you mean timeout?" in problem
        return
    assert problem.startswith(f"{place.replace('/', '.')}.{key}: unknown key; Gatehouse "), problem


@pytest.mark.parametrize("key", [*COMPOSE_TOP, *KAMAL_TOP, *NOMAD_JOB])
def test_a_key_at_the_top_of_another_tools_file_has_one(key: str) -> None:
    problem = problem_with("", key)
    assert not problem or problem.startswith(f"{key}: unknown key; Gatehouse ")


@pytest.mark.parametrize(
    ("place", "key", "answer"),
    [
        ("services/app", "environment", "Gatehouse calls it env or secret_env"),
        ("services/app", "mem_limit", "Gatehouse calls it memory"),
        ("services/app", "cap_add", "Gatehouse calls it capabilities"),
        ("services/app", "gpus", "Gatehouse has no gpus: containers get no devices of the VM"),
        ("services/app", "extra_hosts", "Gatehouse has no extra_hosts: put the name into DNS"),
        ("services/app", "hostname", "Gatehouse has no hostname: containers are called"),
        ("services/app", "deploy", "Gatehouse has no deploy: its parts are keys of the service"),
        ("services/app", "x-common", "Gatehouse has no extension fields; remove it"),
        ("services/app/health", "test", "Gatehouse calls it command"),
        ("services/app/http", "gzip", "Gatehouse calls it compression"),
        ("services/app", "ServerName", "Gatehouse calls it hosts"),
        ("services/app", "server_alias", "Gatehouse calls it hosts or http.aliases"),
        ("services/app", "ProxyTimeout", "Gatehouse calls it http.timeout"),
        ("services/app/http", "proxy_read_timeout", "Gatehouse calls it timeout"),
        ("services/app/http", "LimitRequestBody", "Gatehouse calls it max_body"),
        ("services/app", "client_max_body_size", "Gatehouse calls it http.max_body"),
        ("services/app", "RewriteRule", "Gatehouse has no RewriteRule: the application has to"),
        ("services/app/http", "ServerName", "Gatehouse has no ServerName: see hosts of the"),
        ("edge", "worker_connections", "Gatehouse calls it max_connections"),
        ("edge/tls", "ssl_certificate", "Gatehouse calls it certificates"),
        ("", "upstream", "Gatehouse calls it services"),
        ("", "VirtualHost", "Gatehouse calls it services"),
        ("services/app/tcp", "published", "Gatehouse calls it port"),
        ("services/app/placement", "constraints", "Gatehouse calls it vms"),
        ("farm", "cpus", "Gatehouse calls it vcpus"),
        ("edge", "ssl", "Gatehouse calls it tls"),
        ("farm", "bridge", "Gatehouse calls it network.bridge"),
        ("farm", "cidr", "Gatehouse calls it network.cidr"),
        ("edge", "listen", "Gatehouse calls it port, or tls.port for HTTPS, and bind for the"),
        ("", "Listen", "Gatehouse calls it edge.port, or edge.tls.port for HTTPS, and edge.bind"),
        ("edge", "certificate", "Gatehouse calls it tls.certificates"),
        ("edge", "certbot", "Gatehouse calls it tls.folder or tls.acme"),
        ("edge", "https_port", "Gatehouse calls it tls.port"),
        (
            "edge",
            "ServerName",
            "Gatehouse has no ServerName here: services.<name> has hosts for it",
        ),
        ("edge", "VirtualHost", "Gatehouse has no VirtualHost here: services.<name> has hosts for"),
        ("edge", "hosts", "Gatehouse has no hosts: each service has its domains, in services."),
        ("edge", "DocumentRoot", "Gatehouse has no DocumentRoot: a container has to serve files"),
        ("edge", "RewriteRule", "Gatehouse has no RewriteRule: the application has to do it"),
        ("", "ServerName", "Gatehouse has no ServerName here: services.<name> has hosts for it"),
        ("", "DocumentRoot", "Gatehouse has no DocumentRoot: a container has to serve files"),
        ("", "environment", "Gatehouse has no environment here: services.<name> has env or secret"),
        ("services/app", "Redirect", "Gatehouse has no Redirect: http.aliases redirects other"),
        ("services/app/http", "redirect", "Gatehouse has no redirect: aliases redirects other"),
        ("services/app/http", "force_https", "Gatehouse has no force_https: with edge.tls, HTTP"),
        ("edge/tls", "redirect", "Gatehouse has no redirect: HTTP always redirects to HTTPS"),
        ("services/app", "limit_rate", "Gatehouse has no limit_rate: bandwidth has no limit"),
        ("services/app", "proxy_hide_header", "Gatehouse has no proxy_hide_header: write the"),
        ("services/app/health", "disable", "Gatehouse has no disable: the edge always checks"),
        ("services/app", "stopGrace", "did you mean stop_grace?"),
        ("services/app", "Replicas", "did you mean replicas?"),
        ("services/app", "secret-env", "did you mean secret_env?"),
        ("services/app", "sticky", "did you mean http.sticky?"),
        ("services/app", "replcias", "did you mean replicas?"),
        ("farm/network", "gatewya", "did you mean gateway?"),
        ("services/app", "colour", "known here are image, hosts, tcp, "),
    ],
)
def test_the_answer_says_what_to_write(place: str, key: str, answer: str) -> None:
    assert f": unknown key; {answer}" in problem_with(place, key)


@pytest.mark.parametrize("place", ["services/app", "services/app/http", "edge", ""])
@pytest.mark.parametrize(
    "key", ["deny", "Deny", "Order", "ipDenyList", "blacklist", "denylist", "block", "DenyFrom"]
)
def test_who_lists_clients_to_keep_out_is_not_sent_to_who_may_come_in(place: str, key: str) -> None:
    problem = problem_with(place, key, ["10.1.2.3"])
    assert f"Gatehouse has no {key}: single clients cannot be blocked; " in problem
    assert "allow lists the clients that are allowed, and all others get a 403" in problem


_REVERSED = re.compile("deny|order|block|black|reject|exclude|except|hide|disable|remove|^no_|^rw$")


def test_no_key_that_takes_away_is_renamed_to_one_that_gives() -> None:
    for words in (
        *vocabulary.RENAMED.values(),
        *directives.RENAMED.values(),
        *vocabulary.WORDS.values(),
    ):
        assert [key for key in words if _REVERSED.search(key.lower())] == []


def test_no_word_has_two_answers() -> None:
    for model in models():
        given: dict[str, str] = {}
        for table in (
            vocabulary.WORDS,
            vocabulary.RENAMED,
            vocabulary.ABSENT,
            directives.RENAMED,
            directives.ABSENT,
        ):
            given |= {vocabulary.plain(key): key for key in table.get(model, {})}
        words = opposites.ABSENT.get(model, {})
        assert {key for key in words if vocabulary.plain(key) in given} == set(), model


def models() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [Stack]
    while waiting:
        model = waiting.pop()
        found[model.__name__] = model
        inner = [model_in(field.annotation) for field in model.model_fields.values()]
        waiting += [each for each in inner if each is not None]
    return found


SCALARS = {name: model for name, model in models().items() if name not in ("Stack", "EdgeVm")}


@pytest.mark.parametrize("name", SCALARS)
def test_an_example_of_a_map_is_one_that_the_model_takes(name: str) -> None:
    example = loading.short_form(SCALARS[name]).removeprefix(", such as ")
    if name in ("Farm", "Service", "Registry"):  # their required keys have errors that say more
        assert example == ""
    else:
        SCALARS[name].model_validate(yaml.safe_load(example))


def test_what_keys_are_called_here_exists_and_they_do_not() -> None:
    known = models()
    for model, words in (
        *vocabulary.RENAMED.items(),
        *directives.RENAMED.items(),
        *vocabulary.WORDS.items(),
    ):
        for key, names in words.items():
            assert key not in known[model].model_fields, (model, key)
            for name in re.split(r" or |, or |, | and ", names.partition(" for ")[0]):
                assert _exists(known[model], name), (model, key, name)
    for model, words in (
        *vocabulary.ABSENT.items(),
        *directives.ABSENT.items(),
        *opposites.ABSENT.items(),
    ):
        for key in words:
            assert key not in known[model].model_fields, (model, key)
            for table in (vocabulary.RENAMED, directives.RENAMED, vocabulary.WORDS):
                assert key not in table.get(model, {}), (model, key)


def _exists(model: type[BaseModel], path: str) -> bool:
    first, _, rest = path.replace("<name>.", "").partition(".")
    if first not in model.model_fields:
        return False
    inner = model_in(model.model_fields[first].annotation)
    return not rest or (inner is not None and _exists(inner, rest))


def test_values_of_keys_that_sound_secret_are_hidden() -> None:
    for key in ("password", "db_password", "api_token", "secrets", "environment", "private_key"):
        problem = problem_with("services/app", key, "hunter2")
        assert problem.endswith("(value hidden: it may be secret)"), problem
    assert problem_with("services/app", "gpus", "all").endswith("(got all)")


WORDS = ("replicas", "memory", "hosts", "port", "stop_grace", "certificates")


@given(st.sampled_from(WORDS), st.integers(0, 20), st.sampled_from("abcxyz_"))
def test_one_slip_is_recognized(word: str, at: int, letter: str) -> None:
    at %= len(word)
    for slip in (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    ):
        assert distance(slip, word) <= 1
        assert nearest(slip, WORDS) == word or len(slip) < 3 or _either(slip)


def _either(slip: str) -> bool:
    """Whether it may be a slip for two of them."""
    return sum(distance(slip, word) <= 2 for word in WORDS) > 1


@pytest.mark.parametrize("word", ["gpus", "hostname", "extra_hosts", "environment", "deploy", "x"])
def test_a_word_that_is_not_near_is_no_slip(word: str) -> None:
    known = ("image", "hosts", "memory", "replicas", "placement", "env", "read_only")
    assert nearest(word, known) is None
