"""What each of them sees: the technician, a resident's phone, the city. On a terminal live, elsewhere line by line."""

import datetime
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console, Group
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.cli.demo.evidence import DAEMONS, Evidence
from agent.cli.demo.report import Report
from agent.contracts.cells import COUNT
from agent.operations import wording

REFRESH_EVERY_S = 0.25
PLAIN_EVERY_S = 5.0
WIDE = 110
"""Columns from which the phone has a pane beside the others."""

TECHNICIAN_LINES = 14


class Screen(Protocol):
    """Where a run is shown."""

    def __enter__(self) -> "Screen": ...
    def __exit__(self, *_: object) -> None: ...
    def note(self, words: str) -> None:
        """Say what is happening now."""

    def show(self, evidence: Evidence) -> None:
        """Show the present; called often, draws when it is time."""

    def closing(self, report: Report) -> None:
        """Show the numbers of the whole run."""


class PlainPanes:
    """One line an event: for logs, pipes and terminals that cannot be redrawn."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._shown = 0
        self._next = 0.0

    def __enter__(self) -> "PlainPanes":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, words: str) -> None:
        """One line at once."""
        print(f"demo        {words}", flush=True)

    def show(self, evidence: Evidence) -> None:
        """A line for everything that changed, and the technician's counts every few seconds."""
        self._once("technician", f"gate {gate_words(evidence)}")
        self._once("resident", f"phone {evidence.phone_says}" + (f": {phone_line(evidence)}" if evidence.phone else ""))
        for who, words in (("resident", beside_words(evidence)), ("city", policy_words(evidence))):
            if words:
                self._once(who, words, about="governance")
        new = min(evidence.received - self._shown, len(evidence.releases))
        for release in list(evidence.releases)[len(evidence.releases) - new :]:
            print(f"city        {release_line(release)}", flush=True)
        self._shown = evidence.received
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            print(f"technician  {counts_line(evidence)}", flush=True)

    def closing(self, report: Report) -> None:
        """The summary."""
        print_summary(report)

    def _once(self, who: str, words: str, *, about: str = "") -> None:
        if self._said.get(who + about) != words:
            self._said[who + about] = words
            print(f"{who:<11} {words}", flush=True)


class Panes:
    """Three panes side by side or one above another, as the terminal's width allows."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, screen=False, transient=False)
        self._note = ""
        self._next = 0.0

    def __enter__(self) -> "Panes":
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def note(self, words: str) -> None:
        """Shown in the title line."""
        self._note = words
        self._next = 0.0

    def show(self, evidence: Evidence) -> None:
        """Redraw a few times a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REFRESH_EVERY_S
        self._live.update(self.picture(evidence), refresh=True)

    def closing(self, report: Report) -> None:
        """The summary, below the last picture."""
        print_summary(report)

    def picture(self, evidence: Evidence) -> Layout:
        """The whole screen."""
        technician = Panel(_technician(evidence), title="technician", border_style="yellow")
        resident = Panel(_resident(evidence), title="a resident's phone", border_style="cyan")
        city = Panel(_city(evidence), title="the city", border_style="green")
        note = Layout(Text(f" {self._note}", style="dim"), size=1)
        panes = Layout()
        if self._console.width >= WIDE:
            left = Layout()
            left.split_column(Layout(technician, size=TECHNICIAN_LINES), Layout(city))
            panes.split_row(Layout(left, ratio=3), Layout(resident, ratio=2))
        else:
            panes.split_column(Layout(technician, size=TECHNICIAN_LINES), Layout(city), Layout(resident))
        layout = Layout()
        layout.split_column(note, panes)
        return layout


def _technician(evidence: Evidence) -> Group:
    open_ = evidence.latest.get("anonymizer", {}).get("gate") == "open"
    lines = [
        Text.assemble(("gate    ", "dim"), (gate_words(evidence), "bold green" if open_ else "bold red")),
        Text.assemble(("policy  ", "dim"), policy_words(evidence) or "…"),
        Text.assemble(("board   ", "dim"), counts_line(evidence)),
        Text.assemble(
            ("street  ", "dim"), str(evidence.latest.get("board", {}).get("calendar", "…")).replace("T", " ")
        ),
        Text.assemble(("dropped ", "dim"), _reasons(evidence.discarded())),
    ]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("daemon")
    table.add_column("memory", justify="right")
    table.add_column("")
    for name in DAEMONS:
        kib = evidence.latest.get(name, {}).get("pss_kib")
        table.add_row(name, f"{kib / 1024:.1f} MiB" if kib else "…", _daemon_words(name, evidence))
    return Group(*lines, Text(""), table)


def _resident(evidence: Evidence) -> Group:
    if not evidence.phone:
        return Group(Text(f"phone {evidence.phone_says} …"))
    verified = evidence.phone.get("verified") is True
    lines = [
        Text.assemble((str(evidence.advertisement.get("name", "")), "bold"), ("  on the sign: the same code", "dim")),
        Text("✓ signed by this unit" if verified else "✗ not verified", style="green" if verified else "red"),
        Text(""),
    ]
    if words := beside_words(evidence):
        lines += [Text(words, style="bold"), Text("")]
    return Group(*lines, *(Text(f"• {sentence}") for sentence in evidence.sentences))


def _city(evidence: Evidence) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    several = len({release["stream"] for release in evidence.releases}) > 1
    table.add_column("window (UTC)", no_wrap=True, width=13)
    if several:
        table.add_column("stream", no_wrap=True, overflow="ellipsis", max_width=12)
    table.add_column("cells", overflow="fold", ratio=1)
    table.add_column("± noise", no_wrap=True, min_width=7, justify="right")
    table.add_column("log", no_wrap=True, width=5, justify="right")
    table.add_column("signed", no_wrap=True, width=6)
    for release in reversed(evidence.releases):  # newest first: what does not fit below is old
        table.add_row(
            window_words(release),
            *([release["stream"]] if several else []),
            cells_words(release),
            noise_words(release),
            f"#{release.get('log_index', '')}",
            "✓" if release.get("verified") is True else "✗",
            style="" if release["state"] == "complete" else "dim",
        )
    return table


def gate_words(evidence: Evidence) -> str:
    """ "open", or why it is closed."""
    counters = evidence.latest.get("anonymizer", {})
    if not counters:
        return "starting"
    if counters.get("gate") == "open":
        return "open"
    return f"closed: {str(counters.get('reason', '')).replace('_', ' ')}"


def policy_words(evidence: Evidence) -> str:
    """What `state` says of the policies; "" before it said anything."""
    state = evidence.state_mqtt
    if not state:
        return ""
    words = f"version {state['policy_version']} {'on notice' if state['notice_remaining_s'] else 'in force'}"
    if state["upcoming_version"]:
        words += f"; version {state['upcoming_version']} on notice beside it"
    if state["offer_refused"]:
        words += f"; an offer was refused: {state['offer_refused']}"
    if state["stop_reason"]:
        words += f"; stopped by {state['stop_by']}: {state['stop_reason']}"
    return words


def beside_words(evidence: Evidence) -> str:
    """What the phone reads beside the disclosure: what is on notice, and why a unit was stopped; "" when there is neither."""
    upcoming, stop = evidence.upcoming, evidence.stop_notice
    words = []
    if upcoming:
        begins = datetime.datetime.fromtimestamp(upcoming["not_before"], datetime.UTC)
        words.append(f"from {begins:%H:%M} UTC at the earliest: version {upcoming['version']} ({upcoming['code']})")
    if stop:
        words.append(f"stopped by {', '.join(stop['by'])}: {stop['reason']}")
    return "; ".join(words)


def counts_line(evidence: Evidence) -> str:
    """Frames and readings along the way. Exact numbers are for the demo only."""
    bridge = evidence.latest.get("firmware-bridge", {})
    return (
        f"link {bridge.get('link', 'down')}, {bridge.get('frames', 0)} frames, "
        f"{evidence.counter('board', 'readings_sent')} readings sent, {bridge.get('readings', 0)} bridged, "
        f"{evidence.counter('anonymizer', 'counted')} counted"
    )


def phone_line(evidence: Evidence) -> str:
    """What the phone's chooser and the sign have in common."""
    mark = "signature verified" if evidence.phone.get("verified") is True else "NOT verified"
    return f"{evidence.advertisement.get('name', '?')}, {mark}"


def release_line(release: Mapping[str, Any]) -> str:
    """One release in one line."""
    mark = "verified" if release.get("verified") is True else "NOT verified"
    return f"{window_words(release)}  {release['stream']}  {cells_words(release)}  #{release.get('log_index')} {mark}"


def window_words(release: Mapping[str, Any]) -> str:
    """Start of the window and its length."""
    start = time.strftime("%H:%M:%S", time.gmtime(int(release["window_start"])))
    return f"{start} +{release['window_s']} s"


def noise_words(release: Mapping[str, Any]) -> str:
    """The standard deviation of the noise in each number, with its unit where it is not a count."""
    unit = release["noise_unit"]
    return f"{release['noise_sd']}" if unit == COUNT else f"{release['noise_sd']} {unit}"


def cells_words(release: Mapping[str, Any]) -> str:
    """Each cell by name, `<18` for a suppressed one, or why there is none; and that nothing is guaranteed, where it is not."""
    if release["state"] != "complete":
        words = str(release["state"]).replace("_", " ").replace(":", ": ")
    else:
        words = wording.cells_words(release["cells"], release["noise_unit"], release["threshold"])
    unprotected = wording.label(release["guarantee"])
    return f"{words}  ({unprotected})" if unprotected else words


def print_summary(report: Report) -> None:
    """The run in five lines."""
    total = sum(report.windows_closed.values())
    open_ = report.readings_sent - report.readings_counted - sum(report.readings_discarded.values())
    print(
        f"\n{report.readings_sent} readings sent, {report.readings_counted} counted, "
        f"{sum(report.readings_discarded.values())} discarded ({_reasons(report.readings_discarded)})"
        f"{f', {open_} in windows still open' if open_ > 0 else ''}\n"
        f"{total} windows closed: {sum(report.windows_published.values())} with published cells, "
        f"{sum(report.windows_suppressed.values())} with suppressed ones, "
        f"{sum(report.windows_not_collected.values())} not collected\n"
        f"{report.releases_logged} releases logged, {report.releases_received} received, {report.releases_verified} verified\n"
        f"disclosure by radio {report.disclosure_digest_ble[:16] or 'none'}…, by MQTT {report.disclosure_digest_mqtt[:16] or 'none'}…\n"
        f"{report.canaries_planted} canaries planted, {report.canary_hits} found outside",
        file=sys.stdout,
        flush=True,
    )


def _daemon_words(name: str, evidence: Evidence) -> str:
    value = evidence.latest.get(name, {})
    match name:
        case "firmware-bridge":
            return f"damaged {value.get('damaged', 0)}"
        case "anonymizer":
            return f"{value.get('entries', 0)} log entries"
        case "publisher":
            return ("connected" if value.get("connected") else "no broker") + f", backlog {value.get('backlog', 0)}"
        case _:
            return "on air" if value.get("on_air") else "not on air"


def _reasons(discarded: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(discarded.items()) if count) or "none"
