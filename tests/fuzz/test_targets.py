"""Every parser against hostile bytes (I8): only the documented error comes out, in bounded time and memory.

Each example runs the target, which swallows its documented error and checks what it accepted; anything else fails the test.
"""

import ast
import contextlib
import importlib
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent.contracts import lease
from tests.fuzz import mutation, seeds
from tests.fuzz.targets import READS, TARGETS

PROJECT = Path(__file__).parents[2]
MAX_CPU_S = 2.0
"""For any single input, on a machine five times slower than ours; the slowest take a fifth of it."""

STREAMS = ("frame", "publish")
STREAM_S_PER_BYTE = 5e-6
"""A byte stream has no end that could be too far: its time is bounded by its length. A megabaud brings a byte in ten microseconds."""

MAX_PEAK_BYTES = 64 * 1024 * 1024
SOAK_EXAMPLES = 20_000

EXEMPT = {
    "agent.anonymizer.rotation.load_rotated": "a file around rotation.open_rotation, which is a target",
    "agent.anonymizer.checkpoint.read_shown": "a file around tlog.open_checkpoint, which is a target",
    "agent.local.settings.load": "reads a file and calls parse",
    "agent.local.credentials.load_credential": "a file that its owner made; not from outside",
    "agent.local.credentials.load_signing_key": "a file that its owner made; not from outside",
    "agent.local.files.read_capped": "reads a file",
    "agent.local.files.read_given": "reads a file",
    "agent.operations.keys.load_directory": "reads a file and calls decode_directory",
    "agent.operations.log_copy.read_regular": "reads a file",
    "agent.policy.file.load_governance": "reads a file and calls parse_governance or decompile_governance",
    "agent.policy.file.load_policy": "reads a file and calls parse_policy",
    "agent.policy.file.load_policy_file": "reads a file and calls parse_policy, decompile_policy or read_signed",
    "agent.policy.file.read_policy": "reads a file",
    "agent.operations.subscribe.load_public_key": "a command-line argument",
    "agent.beacon.daemon.open_radio": "opens a radio",
    "agent.wire.cose.verify_ed25519": "run by each verify target",
    "agent.operations.signatures.verify_ed25519": "held against the other in tests/operations/test_signatures.py",
    "firmware_bridge.simulator.file.load_replay": "reads a file and calls parse",
}
"""Functions named like parsers that are none, or that only hand bytes on."""

PARSER_NAMES = (
    "decode",
    "decompile",
    "parse",
    "read_",
    "open_",
    "verify",
    "unpack",
    "check_icon",
    "iter_records",
    "assemble",
    "validate",
    "load",
)


def _run(target: str, data: bytes) -> float:
    """CPU seconds that the target takes; what escapes from it fails the test."""
    before = time.thread_time()
    TARGETS[target](data)
    return time.thread_time() - before


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_hostile_bytes(target: str) -> None:
    """Some hundred inputs, spoilt from valid ones."""

    @settings(max_examples=120, suppress_health_check=[HealthCheck.data_too_large])
    @given(mutation.inputs(seeds.SEEDS[target]))
    def attack(data: bytes) -> None:
        assert _run(target, data) < MAX_CPU_S

    attack()


@pytest.mark.soak
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_hostile_bytes_for_long(target: str, soak_record: Callable[[str, object], None]) -> None:
    """The same by the ten thousands; the slowest input's CPU time is kept."""
    slowest = 0.0
    count = 0

    @settings(
        max_examples=SOAK_EXAMPLES,
        database=None,
        suppress_health_check=[HealthCheck.data_too_large],
    )
    @given(mutation.inputs(seeds.SEEDS[target]))
    def attack(data: bytes) -> None:
        nonlocal slowest, count
        took = _run(target, data)
        slowest, count = max(slowest, took), count + 1
        assert took < MAX_CPU_S

    attack()
    assert count >= SOAK_EXAMPLES // 2
    soak_record(f"fuzz/{target}", {"examples": count, "slowest_cpu_ms": round(slowest * 1000, 1)})


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_costly_inputs(target: str) -> None:
    """Deep, wide and long inputs, and such that claim to be, end soon and hold little memory beyond the input's own."""
    for name, bomb in mutation.BOMBS.items():
        stream_s = len(bomb) * STREAM_S_PER_BYTE if target in STREAMS else 0
        assert _run(target, bomb) < MAX_CPU_S + stream_s, name
        tracemalloc.start()
        try:
            TARGETS[target](bomb)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MAX_PEAK_BYTES + 4 * len(bomb), (name, peak)


@pytest.mark.parametrize("target", sorted(seeds.ACCEPTED))
def test_seeds_are_valid(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is suppressed while a seed is read: mutations begin from what the parser accepts whole."""
    refused: list[BaseException] = []

    class Watching(contextlib.suppress):
        def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
            if error is not None:
                refused.append(error)
            return True

    monkeypatch.setattr(contextlib, "suppress", Watching)
    for seed in seeds.SEEDS[target]:
        before = len(refused)
        TARGETS[target](seed)
        allowed = _REFUSALS.get(target, 0)
        assert len(refused) - before <= allowed, refused


_REFUSALS = {"taxonomy": 1, "signed": 4, "cose_sign1": 1, "log": 1, "tiles": 3, "proof": 1, "cosignature": 1}
"""Targets that try one message as several things: how many of these tries fail on a valid seed."""


def _parsers() -> Iterator[str]:
    """Every public function whose name says that it reads something from outside; commands only hand bytes on."""
    for package in ("agent", "firmware_bridge"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith(PARSER_NAMES) and ".cli." not in module:
                    yield f"{module}.{node.name}"


def test_every_parser_has_a_target() -> None:
    """A new parser is a new target in tests/fuzz/targets.py, or is exempt for a reason."""
    covered = {parser for parsers in READS.values() for parser in parsers}
    found = set(_parsers())
    assert len(found) > 40
    assert found - covered - set(EXEMPT) == set()
    assert covered <= found
    assert set(EXEMPT) <= found


def test_every_target_calls_what_it_names_and_has_seeds() -> None:
    assert set(TARGETS) == set(seeds.SEEDS)
    for parsers in READS.values():
        for parser in parsers:
            module, _, function = parser.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function))


def test_a_bug_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that lets a ValueError out is caught by the attack."""

    def broken(data: bytes) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(lease, "decode", broken)
    with pytest.raises(ValueError, match="a bug"):
        test_hostile_bytes("lease")


def test_the_corpus_is_written_by_code(tmp_path: Path) -> None:
    """`python -m tests.fuzz corpus FOLDER` gives a coverage-guided fuzzer its beginning."""
    command = [sys.executable, "-m", "tests.fuzz", "corpus", str(tmp_path)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(TARGETS)
    assert (tmp_path / "policy" / "0").read_bytes() == seeds.POLICIES[0]


def test_a_target_runs_on_files(tmp_path: Path) -> None:
    """A crash file found elsewhere is replayed with one command."""
    (tmp_path / "input").write_bytes(b"\x81" * 1000)
    command = [sys.executable, "-m", "tests.fuzz", "replay", "cbor", str(tmp_path / "input")]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "1 input" in ran.stdout
