"""What every test shares.

In CI (`CI=true`, as .ci/run sets it) a skip is a failure, because a test that never ran proves nothing. Two reasons are accepted,
and a test that has one begins its reason with it: MISSING_HARDWARE or MISSING_SHARED.
"""

import os
from collections.abc import Generator

import pytest

MISSING_HARDWARE = "missing hardware"
MISSING_SHARED = "missing ../shared"


def skip_fails(reason: str, environment: dict[str, str]) -> bool:
    """Is a skip for `reason` a failure in this environment?"""
    return environment.get("CI") == "true" and not reason.startswith((MISSING_HARDWARE, MISSING_SHARED))


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
