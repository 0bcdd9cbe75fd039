"""What the privacy core and the whole anonymizer take of memory, and the core of CPU to import, in fresh processes; the error of unique counts.

The interpreter is run as a unit runs it (`-I`, one BLAS thread: systemd/dtpr-anonymizer.service), and without `site`, which in an environment
for development also loads what makes installations editable.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.anonymizer.stage import BIKE, Unit
from tests.anonymizer.test_daemon import keep
from tests.anonymizer.test_distinct import errors, privacy_of
from tests.bench.record import Most, record
from tests.memory import resident_kib

PROJECT = Path(__file__).parents[2]

CORE = (
    *("batch", "budget", "centred", "counter", "distinct", "duration", "govern", "kinds", "noise", "scalar"),
    *("threshold", "window"),
)
"""Of agent.anonymizer: all on the way from the bytes of a reading to an Aggregate, and what adds up its charges. The rest of the daemon is
notice, log, signatures and the adoption of policies."""

IMPORT_CORE = (
    "import agent.policy.epsilon\n"  # zCDP to (epsilon, delta)
    + "".join(f"import agent.anonymizer.{name}\n" for name in CORE)
)

REPORT = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
pages = int(open("/proc/self/statm").read().split()[1])
print(pages * resource.getpagesize() / 2**20, 1000 * (used.ru_utime + used.ru_stime))
"""

PATHS = (
    f"import sys\nsys.path[:0] = {[str(PROJECT), *(path for path in sys.path if path.endswith('site-packages'))]!r}\n"
)

WHOLE = f"{PATHS}import runpy\nrunpy.run_module('agent.anonymizer', run_name='__main__', alter_sys=True)\n"
"""As `python -m` does it."""

TIMES = 9


def fresh(imports: str) -> tuple[float, float]:
    """(MiB of RSS, median; ms of CPU, least) of TIMES fresh processes that have imported that."""
    program = f"{PATHS}{imports}{REPORT}"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    found = []
    for _ in range(TIMES):
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        mib, ms = map(float, ran.stdout.split())
        found.append((mib, ms))
    return statistics.median(mib for mib, _ in found), min(ms for _, ms in found)


def test_the_core() -> None:
    bare_mib, bare_ms = fresh("")
    numpy_mib, numpy_ms = fresh("import cbor2, numpy\n")
    core_mib, core_ms = fresh(IMPORT_CORE)
    rows = {
        "interpreter_mib": bare_mib,
        "numpy_cbor2_mib": numpy_mib,
        "core_mib": core_mib,
        "numpy_cbor2_import_cpu_ms": numpy_ms - bare_ms,
        "core_import_cpu_ms": core_ms - bare_ms,
    }
    record(rows, {"core_mib": Most(30), "core_import_cpu_ms": Most(200)})


def test_the_whole_anonymizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After windows were counted, released, signed and logged."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    unit = Unit(tmp_path)
    try:
        unit.start(program=("-I", "-S", "-c", WHOLE))
        unit.wait((tmp_path / "public" / "envelope").exists, "envelope")
        beacon, bridge = unit.beacon(), unit.bridge()
        keep(unit, beacon, bridge, 8.0, [BIKE] * 30)
        assert unit.counters()["counted"] > 0
        assert len(unit.releases()) >= 2
        assert unit.process is not None
        record({"anonymizer_mib": resident_kib(unit.process.pid) / 1024}, {"anonymizer_mib": Most(42)})
    finally:
        unit.end()


def test_unique_visitors() -> None:
    """A thousand devices in a window, epsilon 1."""
    rmse, _, _ = errors(1000, privacy_of("1"), 1000)
    record({"uniques_rmse": rmse}, {"uniques_rmse": Most(3)})
