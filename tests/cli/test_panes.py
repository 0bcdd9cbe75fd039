"""The demo's lines for pipes and logs: every release once, however long the run."""

import io

import pytest
from rich.console import Console

from agent.cli.demo.evidence import Evidence
from agent.cli.demo.panes import Panes, PlainPanes
from agent.cli.demo.processes import Line
from agent.contracts import aggregate
from agent.operations.verification import Received, Verification
from tests import packs
from tests.packs import changed


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


def test_a_will_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    """OP-6: the broker that stops sends the state of when the unit connected, on notice then; the city has known better since."""
    evidence, screen = Evidence(5), PlainPanes()
    known = {"type": "state", "policy_version": 1, "upcoming_version": 0, "offer_refused": "", "stop_reason": ""}
    for connection, owed in (("online", 5), ("online", 0), ("offline", 5), ("online", 0)):
        evidence.take(
            Line("subscriber", {**known, "connection": connection, "notice_remaining_s": owed, "stale_will": False})
        )
        screen.show(evidence)
    said = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [words for pane, words in said if pane == "city"] == [
        "version 1 on notice",
        "version 1 in force",
    ]


def test_the_city_sees_streams_of_every_kind() -> None:
    """I1: with its unit, its words, and the label where nothing is guaranteed."""
    evidence, drawn = Evidence(5), io.StringIO()
    verification = Verification()
    for number, window in enumerate(packs.ALL.values()):
        terms = window.terms
        topic = f"dtpr/v1/{terms.city}/{terms.site}/{terms.unit}/agg/{terms.stream}"
        payload = aggregate.encode(changed(window, log_index=number, window_start=window.window_start + 900 * number))
        ((record, _),) = verification.take(Received(topic, payload, (), False, 0.0))
        evidence.take(Line("subscriber", record))
    console = Console(file=drawn, width=260, height=60)
    console.print(Panes(console).picture(evidence))
    text = drawn.getvalue()
    for words in (
        "crossings",
        "visitors",
        "devices 412 ±3.79",
        "mean 612.5 ppm",
        "12.41 ppm",
        "leq 63 dB",
        "foot/total 87",
    ):
        assert words in text
    assert text.count("(coarse: not a privacy guarantee)") == 1
