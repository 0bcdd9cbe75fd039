"""A real PostgreSQL takes the statements of config/telegraf.conf and the rows that its queries give, twice where a window comes twice."""

import os
import pwd
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.contracts.aggregate import Cell
from tests import packs
from tests.operations.test_telegraf import CONFIG, CONSUMER, _program, metrics
from tests.packs import changed

__all__ = ["_program"]  # the fixture
TABLE = '"public"."dtpr_cell"'
TAGS = ("city", "site", "unit", "stream", "cell")
NUMBERS = ("value", "window_s", "coverage", "noise_sd", "threshold")
WORDS = ("words", "state", "guarantee")
COLUMNS = ("time", *TAGS, *NUMBERS, *WORDS)
DECLARED = ", ".join(
    [
        '"time" timestamp without time zone',
        *(f'"{name}" text' for name in TAGS),
        *(f'"{name}" double precision' for name in NUMBERS),
        *(f'"{name}" text' for name in WORDS),
    ]
)
"""As the plugin's documentation maps tags and fields."""

TIMEOUT_S = 120.0


def command(name: str) -> str:
    """Of PostgreSQL's programs, which Debian keeps out of the path."""
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    assert found is not None, f"{name} is absent: `make interop` installs it"
    return found


@contextmanager
def database() -> Iterator[Path]:
    """A cluster on a socket in a folder of its own; PostgreSQL does not run as root."""
    user: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="dtpr-pg-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        where = ["-D", str(folder / "data")]
        init = [command("initdb"), *where, "-U", "telegraf", "-A", "trust", "-N", "--no-instructions"]
        subprocess.run(init, check=True, capture_output=True, timeout=TIMEOUT_S, cwd=folder, **user)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control = command("pg_ctl")
        start = [control, *where, "-w", "-t", str(int(TIMEOUT_S)), "-l", str(folder / "log"), "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, timeout=2 * TIMEOUT_S, cwd=folder, **user)
        try:
            yield folder
        finally:
            stop = [control, *where, "-m", "immediate", "stop"]
            subprocess.run(stop, check=False, capture_output=True, timeout=TIMEOUT_S, cwd=folder, **user)


def ask(folder: Path, statement: str, rows: str = "") -> list[str]:
    """What psql says, line by line."""
    line = [command("psql"), "-h", str(folder), "-U", "telegraf", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt"]
    ran = subprocess.run(
        [*line, "-c", statement], input=rows, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return ran.stdout.splitlines()


def statements() -> list[str]:
    """The configured ones, with the plugin's two placeholders filled in."""
    (output,) = tomllib.loads(CONFIG.read_text())["outputs"]["postgresql"]
    filled = [
        text.replace("{{ .table }}", TABLE).replace("{{ .columns }}", DECLARED) for text in output["create_templates"]
    ]
    assert not any("{{" in text for text in filled)
    return filled


def rows(program: Path, *values: tuple[int | Cell, ...]) -> str:
    """For COPY, as the plugin writes: a window of each of these values."""
    assert CONSUMER["topics"] == ["dtpr/v1/+/+/+/agg/+"]
    windows = [changed(packs.COUNT, window_start=1_800_000_000 + 900 * n, values=each) for n, each in enumerate(values)]
    lines = []
    for found in metrics(program, windows):
        for one in found:
            key = ("springfield", "river-bridge", "bridge-01", "crossings", one["tags"]["cell"])
            fields = [str(one["fields"].get(name, "\\N")) for name in (*NUMBERS, *WORDS)]
            time = datetime.fromtimestamp(one["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
            lines.append("\t".join((time, *key, *fields)))
    return "".join(f"{line}\n" for line in lines)


def test_a_window_that_comes_twice_is_there_once(program: Path) -> None:
    """In one batch and in two; a suppressed cell is no number in a sum or a mean."""
    copy = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN"
    one, two = rows(program, (23, Cell.SUPPRESSED)), rows(program, (23, Cell.SUPPRESSED), (31, 40))
    with database() as folder:
        for statement in statements():
            ask(folder, statement)
        ask(folder, copy, one)
        ask(folder, copy, two + one)
        ask(folder, copy, two)
        assert ask(
            folder, "SELECT cell, count(*), count(value), sum(value) FROM dtpr_cell GROUP BY cell ORDER BY cell"
        ) == [
            "bike|2|2|54",
            "foot|2|1|40",
        ]
        assert ask(folder, "SELECT words FROM dtpr_cell WHERE value IS NULL") == ["suppressed"]
        assert ask(folder, "SELECT min(extract(epoch FROM time))::bigint FROM dtpr_cell") == ["1800000000"]


def test_without_the_trigger_a_batch_would_be_lost(program: Path) -> None:
    """Positive control: the unique index alone refuses all rows of a batch for one."""
    copy = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN"
    with database() as folder:
        for statement in statements()[:2]:
            ask(folder, statement)
        ask(folder, copy, rows(program, (23, 40)))
        with pytest.raises(RuntimeError, match="duplicate key"):
            ask(folder, copy, rows(program, (23, 40), (31, 40)))
        assert ask(folder, "SELECT count(*) FROM dtpr_cell") == ["2"]
