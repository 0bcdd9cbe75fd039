"""The tier `make privacy`: files test_rNN_….py here, and no others, run in it; it ends with one table (tests/privacy/README.md)."""

import json
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.privacy import table
from tests.privacy.table import Record, Row

ROWS = pytest.StashKey[list[Row]]()
FAILED = pytest.StashKey[list[str]]()
BEGAN = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--red-team: an attack without a row fails the run."""
    parser.addoption("--red-team", action="store_true", help="every attack R1 to R21 must have a row")


def pytest_configure(config: pytest.Config) -> None:
    """An empty table."""
    config.stash[ROWS], config.stash[FAILED], config.stash[BEGAN] = [], [], time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what belongs to the tier, before markers are selected."""
    for item in items:
        if item.path.parent == Path(__file__).parent and table.attack_of(item.path.name):
            item.add_marker(pytest.mark.privacy)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Adds a row to the table."""

    def add(id: str, attack: str, *, measured: str, claim: str, caught: Sequence[str]) -> None:
        request.config.stash[ROWS].append(table.row(id, attack, measured=measured, claim=claim, caught=caught))

    return add


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the attack of a test that failed in any phase."""
    report = yield
    attack = table.attack_of(item.path.name)
    if report.failed and attack and item.path.parent == Path(__file__).parent:
        item.config.stash[FAILED].append(attack)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --red-team: fail for want of a row; leave the rows in build/privacy.json."""
    rows = session.config.stash[ROWS]
    if not session.config.getoption("red_team", default=False):
        return
    if table.missing(rows):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    path = Path(__file__).parents[2] / "build" / "privacy.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table.as_json(rows), indent=1, ensure_ascii=False) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table."""
    rows, failed = config.stash[ROWS], config.stash[FAILED]
    if not rows and not failed:
        return
    terminalreporter.section("red team (PRIVACY.md 4.3)")
    for line in table.lines(rows, failed):
        terminalreporter.write_line(line)
    if config.getoption("red_team", default=False):
        for attack in table.missing(rows):
            terminalreporter.write_line(f"{attack}: MISSING")
        spent = time.monotonic() - config.stash[BEGAN]
        terminalreporter.write_line(f"{spent:.0f} s; at most {table.BUDGET_S} s on one core")
