"""What every test shares.

In CI (`CI=true`, as .ci/run sets it) a skip is a failure, because a test that never ran proves nothing. Two reasons are accepted,
and a test that has one begins its reason with it: MISSING_HARDWARE or MISSING_SHARED.
"""

import json
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MISSING_HARDWARE = "missing hardware"
MISSING_SHARED = "missing ../shared"


# An example that waited for the processor proves nothing. In CI Hypothesis does the same of itself; its other settings stay as they are.
settings.register_profile("a busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("a busy machine")


def pytest_configure() -> None:
    """A job in the background ignores Ctrl-C, and so would every process that the tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def skip_fails(reason: str, environment: dict[str, str]) -> bool:
    """Is a skip for `reason` a failure in this environment?"""
    return environment.get("CI") == "true" and not reason.startswith((MISSING_HARDWARE, MISSING_SHARED))


WAITING_FIRST = ("integration", "publisher", "beacon")
"""Folders whose tests mostly wait for real peers. Begun last, they would leave one process alone with the longest of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait come first, all else stays as it was; `make test` hands files out in this order."""
    items.sort(key=lambda item: _turn(item.path.parent.name))


def _turn(folder: str) -> int:
    return WAITING_FIRST.index(folder) if folder in WAITING_FIRST else len(WAITING_FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a test's skip into a failure where a skip is not accepted."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself whole."""
    report = yield
    _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return
    where, line, words = report.longrepr
    reason = words.removeprefix("Skipped: ")
    if skip_fails(reason, dict(os.environ)):
        report.outcome = "failed"
        report.longrepr = f"{where}:{line}: skipped in CI: {reason}"


@pytest.fixture
def soak_record() -> Callable[[str, object], None]:
    """`record(key, value)` merges one JSON value under `key` into build/soak.json, where `make soak` leaves its numbers."""

    def record(key: str, value: object) -> None:
        path = Path(__file__).parents[1] / "build" / "soak.json"
        path.parent.mkdir(exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, key: value}, indent=1, sort_keys=True) + "\n")

    return record
