"""The demo's lines for pipes and logs: every release once, however long the run."""

import pytest

from agent.cli.demo.evidence import Evidence
from agent.cli.demo.panes import PlainPanes
from agent.cli.demo.processes import Line


def release(number: int) -> Line:
    value = {
        "type": "release",
        "stream": "crossings",
        "window_start": 1_800_000_000 + 5 * number,
        "window_s": 5,
        "state": "complete",
        "cells": {"bike": 23, "person": "suppressed"},
        "threshold": 18,
        "noise_sd": 4.0,
        "noise_unit": "count",
        "guarantee": "zCDP rho=1/8 per person-period of 600 s, m=4, c=1",
        "log_index": number,
        "verified": True,
    }
    return Line("subscriber", value)


def test_every_release_has_its_line_in_a_run_longer_than_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    evidence, screen = Evidence(5), PlainPanes()
    for number in range(200):
        evidence.take(release(number))
        evidence.take(release(number))  # resent after a reconnection
        screen.show(evidence)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("city")]
    assert [line.split("#")[1] for line in lines] == [f"{number} verified" for number in range(200)]
    assert lines[0].split("  ")[-3:-1] == ["bike 23", "person <18"]
