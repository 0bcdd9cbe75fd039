"""config/telegraf.conf: its queries, evaluated by the XPath and JSON libraries that Telegraf is built with, find in every kind of pack what is in it.

No Telegraf can be had here; a real PostgreSQL takes its statements in tests/interop. Go and the libraries are Debian's.
"""

import json
import os
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, NotCollected
from tests import packs

CONFIG = Path(__file__).parents[2] / "config" / "telegraf.conf"
PROGRAM = Path(__file__).parent / "telegraf" / "main.go"
GOPATH = Path("/usr/share/gocode")
"""Where Debian's golang-github-antchfx-jsonquery-dev puts its source."""

CONSUMER = tomllib.loads(CONFIG.read_text())["inputs"]["mqtt_consumer"][0]
NOT_COLLECTED = {
    f"{name}, not collected": replace(
        window, reason=NotCollected.GATE, coverage_percent=0, values=(Cell.NOT_COLLECTED,) * len(window.values)
    )
    for name, window in packs.ALL.items()
}
WINDOWS = packs.ALL | NOT_COLLECTED


@pytest.fixture(scope="module", name="program")
def _program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/github.com/antchfx/jsonquery").is_dir():
        pytest.skip("missing Go: apt-get install golang-go golang-github-antchfx-jsonquery-dev")
    folder = tmp_path_factory.mktemp("telegraf")
    program = folder / "telegraf"
    settings = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    environment = {**os.environ, **settings, "CGO_ENABLED": "0"}
    subprocess.run([go, "build", "-o", program, PROGRAM], env=environment, check=True, capture_output=True, timeout=600)
    return program


def metrics(program: Path, windows: list[Aggregate], **changes: str) -> list[list[dict[str, Any]]]:
    """What the queries find; `changes` replace queries for fields."""
    (xpath,) = CONSUMER["xpath"]
    asked = {
        "selection": xpath["metric_selection"],
        "name": xpath["metric_name"],
        "timestamp": xpath["timestamp"],
        "tags": xpath["tags"],
        "fields": xpath["fields"] | changes,
        "packs": [aggregate.encode(window).decode() for window in windows],
    }
    ran = subprocess.run([program], input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout))


def test_every_cell_of_every_kind_is_a_metric(program: Path) -> None:
    """A number is one, words are words, and a cell without a number has no value: never 0."""
    assert (CONSUMER["data_format"], CONSUMER["xpath_native_types"]) == ("xpath_json", True)
    for window, found in zip(WINDOWS.values(), metrics(program, list(WINDOWS.values())), strict=True):
        terms = window.terms
        assert [one["tags"] for one in found] == [{"cell": name} for name, _ in window.cells]
        for one, (name, value) in zip(found, window.cells, strict=True):
            assert (one["name"], one["time"]) == ("dtpr_cell", window.window_start)
            held = {"words": str(value)} if isinstance(value, str) else {"value": float(value)}
            assert one["fields"] == held | {
                "window_s": terms.window_s,
                "coverage": window.coverage_percent / 100,
                "noise_sd": float(terms.noise_sd),
                "threshold": terms.threshold,
                "state": window.state,
                "guarantee": terms.guarantee.words(),
            }, name


def test_conversions_would_be_found_out(program: Path) -> None:
    """Positive control: `number()` makes a suppressed cell 0 or NaN, and an absolute path inside a function does not leave the cell."""
    ((_, foot),) = metrics(program, [packs.COUNT], value="number(v)", noise_sd="number(/*[n = 'noise_sd']/v)")
    assert foot["tags"] == {"cell": "foot"}
    assert foot["fields"]["value"] in (0, "NaN")
    assert foot["fields"]["noise_sd"] in (0, "NaN")


def test_the_topic_gives_the_rest_of_a_rows_key() -> None:
    """City, site, unit and stream, by place; nothing else of the topic is a tag."""
    (parsing,) = CONSUMER["topic_parsing"]
    topic = f"dtpr/v1/{packs.COUNT.terms.city}/river-bridge/bridge-01/agg/crossings"
    found = {
        tag: level
        for tag, place, level in zip(
            parsing["tags"].split("/"), parsing["topic"].split("/"), topic.split("/"), strict=True
        )
        if place == "+"
    }
    assert found == {"city": "springfield", "site": "river-bridge", "unit": "bridge-01", "stream": "crossings"}
    (output,) = tomllib.loads(CONFIG.read_text())["outputs"]["postgresql"]
    key = "(time, city, site, unit, stream, cell)"
    assert key in output["create_templates"][1]
    assert CONFIG.read_text().startswith("# untested")
