"""`make bench QUICK=1` measures and reports everything that needs no lab; no figure is judged."""

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import PARTS
from benchmarks.document import FOLDER
from lab.commands import PROJECT

SECONDS = 1800  # it takes under 300 on a machine that does nothing else
MEASURED = [name for name in PARTS if name != "serving"]
"""The lab's own tests boot enough VMs."""


def test_a_quick_run_is_measured_and_written(tmp_path: Path) -> None:
    done = subprocess.run(
        (
            *(sys.executable, "-m", "benchmarks", "--quick"),
            *("--only", ",".join(MEASURED), "--out", str(tmp_path)),
        ),
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(re.findall("bench: .* took .*", done.stdout))
    text = (tmp_path / "benchmarks.md").read_text()
    assert "A quick run" in text, "or somebody takes it for figures"
    for name in MEASURED:
        assert json.loads((tmp_path / FOLDER / f"{name}.json").read_text())["quick"] is True
        assert f"({FOLDER}/{name}.json)" in text
    shown = re.findall(r"!\[[^]]+\]\(([^)]+\.svg)\)", text)
    assert shown
    assert all((tmp_path / each).stat().st_size > 1000 for each in shown)
