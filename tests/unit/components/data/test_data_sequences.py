"""Data outlives any sequence of operations that did not give it up, failed ones included."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import engine_model as engine
from tests.support.engine_model import Model

FULL = os.environ.get("FUZZ") == "full"
KINDS = (engine.VOLUME, engine.CONTAINER, engine.SERVICE, engine.EDGE, engine.DOMAIN)
Operation = Callable[[Model], object]


def config(
    memory: str = "256MiB",
    vms: int = 2,
    services: dict[str, tuple[list[str], list[bool]]] | None = None,
) -> dict[str, Any]:
    """Return a config.

    Args:
        memory: Of each VM.
        vms: How many.
        services: The volumes of each service, names and folders, and the word for each.
    """
    raw: dict[str, Any] = {
        "farm": {"vms": vms, "image": "https://x/12", "memory": memory, "domain_type": "qemu"},
        "services": {"web": {"image": "x:1", "port": 80, "hosts": ["w.example.org"]}},
    }
    for name, (volumes, given_up) in (services or {}).items():
        raw["services"][name] = {
            "image": "x:1",
            "port": 80,
            "hosts": [f"{name}.example.org"],
            "replicas": 2,
            "volumes": [
                {
                    "host" if each.startswith("/") else "name": each,
                    "path": f"/data{index}",
                    "shared": True,
                    "expendable": word,
                }
                for index, (each, word) in enumerate(zip(volumes, given_up, strict=True))
            ],
        }
    raw["services"]["web"].setdefault("volumes", [])
    return raw


CONFIGS = st.builds(
    config,
    st.sampled_from(["256MiB", "256MiB", "512MiB"]),
    st.sampled_from([2, 2, 1]),
    st.dictionaries(
        st.sampled_from(["db", "db", "files"]),
        st.tuples(
            st.sampled_from([["data"], ["/srv/x"], ["data", "/srv/x"], ["data", "logs"]]),
            st.lists(st.booleans(), min_size=2, max_size=2),
        ).map(lambda each: (each[0], each[1][: len(each[0])])),
        max_size=2,
    ),
)
BEGINNINGS = st.builds(
    config,
    services=st.sampled_from(
        [{"db": (volumes, [False] * len(volumes))} for volumes in (["data"], ["data", "/srv/x"])]
    ),
)


def _up(raw: dict[str, Any], until: str) -> Operation:
    return lambda model: model.up(raw, until)


def _forget(kind: str, part: str) -> Operation:
    return lambda model: model.forget(kind, part)


def _rename(kind: str, name: str) -> Operation:
    return lambda model: model.rename(kind, name)


def _refresh(*parts: str) -> Operation:
    """Docker on the VMs lists nothing of some names: neither volumes nor containers."""

    def drop(model: Model) -> None:
        for part in parts:
            model.forget(engine.VOLUME, part)
            model.forget(engine.CONTAINER, part)

    return drop


PARTS = st.sampled_from(["", "web-0", "db-web-0-data", "web-1"])
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(_up, CONFIGS, st.sampled_from(["done", "done", *engine.STEPS])),
    st.builds(_forget, st.sampled_from(KINDS), PARTS),
    st.builds(_refresh, PARTS),
    st.builds(
        _rename,
        st.sampled_from([engine.VM, engine.VOLUME, engine.SERVICE]),
        st.sampled_from(["web-0", "db-web-0-data", "db"]),
    ),
    st.just(Model.destroy_what_is_not_protected),
)


@settings(max_examples=5000 if FULL else 150, deadline=None)
@given(
    BEGINNINGS,
    st.sampled_from(engine.STEPS[3:]),
    st.lists(OPERATIONS, min_size=2, max_size=6),
)
def test_no_sequence_of_operations_loses_data_without_the_word(
    first: dict[str, Any], until: str, operations: list[Operation]
) -> None:
    model = Model()
    assert model.up(first, until)
    for operation in operations:
        operation(model)
        assert not model.lost


@settings(max_examples=60, deadline=None)
@given(CONFIGS, st.sampled_from(engine.STEPS), st.lists(st.builds(_refresh, PARTS), max_size=2))
def test_the_same_config_is_never_refused(
    raw: dict[str, Any], until: str, between: list[Operation]
) -> None:
    model = Model()
    assert model.up(raw, until)
    for operation in between:
        operation(model)
    assert model.up(raw)
    assert model.up(raw)
    assert not [each for each in model.warned if "is not in Pulumi's state" in each]


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS, st.sampled_from(engine.STEPS[:2]))
def test_what_was_never_made_blocks_nothing(
    first: dict[str, Any], second: dict[str, Any], until: str
) -> None:
    model = Model()
    assert model.up(first, until)
    second["farm"]["vms"] = first["farm"]["vms"]  # which VMs to unprotect is said
    assert model.up(second)


DB = ["data"]
LARGER = config(memory="512MiB", services={"db": (DB, [False])})


@pytest.mark.parametrize("failed_first", [False, True])
@pytest.mark.parametrize(
    "operation",
    [
        _forget(engine.VOLUME, "db-"),
        _refresh(""),
        _rename(engine.VOLUME, "db-web-0-data"),
        _rename(engine.VM, "web-0"),
        _forget(engine.SERVICE, "db"),
    ],
    ids=["state-delete", "refresh", "state-rename", "state-rename-vm", "state-delete-service"],
)
def test_a_volume_that_left_the_state_is_data(operation: Operation, failed_first: bool) -> None:
    model = Model()
    assert model.up(
        config(services={"db": (DB, [False])}), "containers" if failed_first else "done"
    )
    operation(model)
    before = set(model.files)
    assert not model.up(LARGER)
    assert model.files == before


def test_the_word_gives_up_a_volume_that_left_the_state() -> None:
    model = Model()
    assert model.up(config(services={"db": (DB, [False])}))
    model.forget(engine.VOLUME, "db-")
    assert model.up(config(memory="512MiB", services={"db": (DB, [True])}))
    assert not model.lost
    assert model.up(config(memory="512MiB", services={"db": (DB, [True])}))
    assert model.up(config(memory="512MiB"))
    assert model.up(config())


def test_an_update_that_makes_an_empty_volume_warns() -> None:
    model = Model()
    raw = config(services={"db": (DB, [False])})
    assert model.up(raw)
    model.forget(engine.VOLUME, "db-web-0")
    assert model.up(raw)
    (warning,) = model.warned
    assert warning.startswith("services.db.volumes.0: the volume data on web-0 is not in Pulumi's")
