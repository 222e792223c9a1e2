import pytest

from benchmarks import serving_chapter, timeline

UP = """\
engine: Pulumi 3.260.0 (the lab's own build: none is on PATH)
 +  libvirt:index:Volume base creating (0s)
 +  libvirt:index:Volume base created (2s)
 +  libvirt:index:Domain web-0-domain creating (0s)
 +  libvirt:index:Domain web-0-domain created (0.61s)
 +  command:local:Command web-0-boot creating (0s)
@ updating.....
 +  command:local:Command web-0-boot creating (15s) 10.90.0.23
 +  command:local:Command web-0-boot created (54s)
 +  command:local:Command edge-haproxy creating (0s) created
 +  command:local:Command edge-haproxy created (0.7s)
"""


def timed(text: str) -> list[tuple[float, str]]:
    return [(float(number), line) for number, line in enumerate(text.splitlines())]


def test_the_lines_of_an_up_tell_when_a_resource_was_begun_and_made() -> None:
    assert timeline.moments(timed(UP)) == {
        "base": [1, 2],
        "web-0-domain": [3, 4],
        "web-0-boot": [5, 8],
        "edge-haproxy": [9, 10],
    }


def test_the_stages_are_the_whole_time() -> None:
    stages = timeline.stages(timeline.moments(timed(UP)), "web-0", 1.5, 12.0)
    assert {stage.name: stage.seconds for stage in stages} == {
        "image": 3,
        "boot": 3.5,
        "Docker": 1.5,
        "containers": 1,
        "edge": 3,
    }
    assert sum(stage.seconds for stage in stages) == 12


def raw(answer: float, container: float) -> dict[str, object]:
    moments = timeline.moments(timed(UP))
    return {
        "vms": "qemu",
        "alone_seconds": [4.0, 5.0, 6.0],
        "ups": [{"answer_seconds": answer, "docker_seconds": 1.0, "moments_seconds": moments}],
        "container_seconds": [container],
        "vm_seconds": [answer],
    }


@pytest.mark.parametrize(
    ("answer", "container", "met"), [(20.0, 15.0, [True] * 3), (20.1, 15.1, [False] * 3)]
)
def test_a_bar_is_met_or_missed(answer: float, container: float, met: list[bool]) -> None:
    chapter = serving_chapter.chapter(raw(answer, container))
    assert [bar.met for bar in chapter.bars] == met
    assert "| boot |" in chapter.text


def test_a_quick_run_tells_the_floor_only() -> None:
    chapter = serving_chapter.chapter(raw(1, 1) | {"ups": []})
    assert "5.00 (4.00–6.00) s" in chapter.text
    assert chapter.bars == ()
