"""Calls of gRPC through both tiers, as a client notices them."""

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from lab.loopback.ports import free_ports
from lab.loopback.site import Site, a_site
from lab.loopback.vm import vms
from remote.edge_agent.system import EdgeError, poll
from tests.support.containers import App, Calls
from tests.support.pems import Authority
from tests.support.two_tiers import curl, running, state_of

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
GRPC = {"shop": {"http": {"protocol": "h2c"}}}


def channel(site: Site) -> grpc.Channel:
    options = [("grpc.default_authority", "shop.example.org"), ("grpc.enable_http_proxy", 0)]
    return grpc.insecure_channel(site.address, options=options)


def test_grpc_passes_both_tiers(site: Site) -> None:
    first, second = Calls("first"), Calls("second")
    stack = site.stack(GRPC)
    with vms(1) as (vm,), running(first, second):
        vm.add("shop", stack, first)
        vm.add("shop", stack, second)
        site.apply(stack, {"shop": {"web-0": vm.web}})
        with channel(site) as calls:
            once: grpc.UnaryUnaryMultiCallable[bytes, bytes] = calls.unary_unary("/test.Echo/Once")
            answers = [once.with_call(b"a" * size, timeout=30) for size in (0, 10, 10, 100_000)]
            assert {answer.split()[0] for answer, _ in answers} == {b"first", b"second"}
            trailers = [dict(call.trailing_metadata())["x-length"] for _, call in answers]
            assert trailers == ["0", "10", "10", "100000"]
            with pytest.raises(grpc.RpcError) as error:
                once(b"fail", timeout=30)
            assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert error.value.details() == "as it was told"
            both: grpc.StreamStreamMultiCallable[bytes, bytes] = calls.stream_stream(
                "/test.Echo/Both"
            )
            sent = [str(number).encode() for number in range(100)]
            told = list(both(iter(sent), timeout=30))
            assert [each.split()[1] for each in told] == sent


def test_cookies_are_secure_and_grpc_passes_where_the_edge_has_tls(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue(tmp_path / "live" / "shop", "shop.example.org", "calls.example.org")
    (tmp_path / "ca.pem").write_text(authority.pem)
    server, app = Calls("server"), App("app")
    with a_site(tmp_path / "live") as site, vms(1) as (vm,), running(server, app):
        stack = site.stack({"calls": GRPC["shop"], "shop": {"http": {"sticky": True}}})
        vm.add("calls", stack, server)
        vm.add("shop", stack, app)
        site.apply(stack, {"calls": {"web-0": vm.web}, "shop": {"web-0": vm.web}})
        answer = curl(site, "https://shop.example.org", "--cacert", str(tmp_path / "ca.pem"))
        cookies = answer.all("set-cookie")
        assert len(cookies) == 2
        assert all("; Secure" in each for each in cookies), cookies
        trusted = grpc.ssl_channel_credentials(authority.pem.encode())
        options = [
            ("grpc.ssl_target_name_override", "calls.example.org"),
            ("grpc.enable_http_proxy", 0),
        ]
        with grpc.secure_channel(site.address, trusted, options) as calls:
            once: grpc.UnaryUnaryMultiCallable[bytes, bytes] = calls.unary_unary("/test.Echo/Once")
            assert once(b"x", timeout=30) == b"server x"


def test_grpc_calls_go_on_while_the_edge_changes(site: Site) -> None:
    server = Calls("server")
    stack = site.stack(GRPC)
    with vms(1) as (vm,), running(server):
        vm.add("shop", stack, server)
        site.apply(stack, {"shop": {"web-0": vm.web}})
        done = threading.Event()
        seen: Counter[str] = Counter()

        def call() -> None:
            with channel(site) as calls:
                once: grpc.UnaryUnaryMultiCallable[bytes, bytes] = calls.unary_unary(
                    "/test.Echo/Once"
                )
                while not done.is_set():
                    try:
                        seen[once(b"x", timeout=30).decode()] += 1
                    except grpc.RpcError as error:
                        seen[str(error)] += 1

        more = threading.Event()

        def messages() -> Iterator[bytes]:
            yield b"1"
            assert more.wait(60)
            yield b"2"

        with channel(site) as calls:
            both: grpc.StreamStreamMultiCallable[bytes, bytes] = calls.stream_stream(
                "/test.Echo/Both"
            )
            stream = both(messages(), timeout=60)
            assert next(stream) == b"server 1"
            callers = [threading.Thread(target=call) for _ in range(3)]
            for each in callers:
                each.start()
            for number in range(10):
                http = {**GRPC["shop"]["http"], "headers": {"X-Reload": str(number)}}
                site.apply(site.stack({"shop": {"http": http}}), {"shop": {"web-0": vm.web}})
            done.set()
            for each in callers:
                each.join()
            more.set()
            assert list(stream) == [b"server 2"], "one that began before the changes"
    assert seen.keys() == {"server x"}, seen
    assert seen["server x"] > 50


def test_a_grpc_server_that_is_not_there_is_not_let_in(site: Site) -> None:
    (port,) = free_ports(1)
    site.ready_seconds = 0.5
    with vms(1) as (vm,):
        stack = site.stack(GRPC)
        with pytest.raises(EdgeError, match="it answers with status 50"):
            site.apply(stack, {"shop": {"web-0": vm.web}})
    with pytest.raises(EdgeError, match="refused"):
        site.apply(stack, {"shop": {"web-0": f"127.0.0.1:{port}"}})


def test_a_grpc_server_that_answers_no_more_gets_no_calls(site: Site) -> None:
    server, deaf = Calls("server"), socket.create_server(("127.0.2.1", 0))
    stack = site.stack({"shop": {"http": {"protocol": "h2c"}, "health": {"interval": "1s"}}})
    with vms(2) as (one, two), running(server), deaf:
        one.add("shop", stack, server)
        silent = Deaf("deaf", "127.0.2.1", deaf.getsockname()[1])
        two.add("shop", stack, silent)
        site.apply(stack, {"shop": {"web-0": one.web, "web-1": two.web}})
        assert poll(lambda: state_of(site, "web-1") == "DOWN", 60)
        with channel(site) as calls:
            once: grpc.UnaryUnaryMultiCallable[bytes, bytes] = calls.unary_unary("/test.Echo/Once")
            assert {once(b"x", timeout=30) for _ in range(5)} == {b"server x"}
        server.stop()
        assert poll(lambda: state_of(site, "web-0") == "DOWN", 60)


@dataclass(frozen=True)
class Deaf:
    """What accepts connections and says nothing."""

    name: str
    address: str
    port: int
