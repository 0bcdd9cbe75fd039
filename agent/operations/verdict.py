"""What comes out of an audit."""

from dataclasses import dataclass, field

from agent.contracts.board_seen import BoardSeen
from agent.operations.beginning import Beginning
from agent.operations.findings import Findings
from agent.operations.openings import GateFacts


@dataclass(slots=True)
class Verdict:
    """What came out. `facts` is what was looked at, `events` (Unix seconds, words) the history of policies, `open` what could not be judged,
    `losses` what the unit owns up to have lost: no finding; `gate` what the gate did, None where nothing tells it; `boards` the newest that said
    hello with something new, of `board_changes`. `beginning` is None for a copy of the whole log; `since` is the start of the first window
    judged, `settled` the instant from which on windows were held against their policy (NEVER: none)."""

    origin: str
    findings: Findings = field(default_factory=Findings)
    facts: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    gate: GateFacts | None = None
    boards: tuple[BoardSeen, ...] = ()
    board_changes: int = 0
    beginning: Beginning | None = None
    since: int | None = None
    settled: int = 0
    unjudged: int = 0
