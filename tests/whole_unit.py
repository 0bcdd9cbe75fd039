"""A whole unit for tests: the demonstration's folder, board, virtual radio and four daemons, at any broker, with a window a second."""

import sys
from dataclasses import dataclass
from pathlib import Path

from agent.cli.demo import stage as stages
from agent.cli.demo.processes import Program
from agent.cli.demo.stage import Stage
from agent.local.clock import OPERATOR, Clock
from agent.policy.parse import parse_policy

KEEPALIVE_S = 5
WINDOW_S = 1
GRACE_S = 0.2


@dataclass(frozen=True, slots=True)
class Way:
    """To the broker: in which network namespace, and with what. `ca` and `password` may be empty; each program logs in under its own name."""

    host: str
    port: int
    at: tuple[str, ...] = ()
    ca: str = ""
    password: str = ""


def whole_unit(folder: Path, way: Way, publisher: Path | None = None) -> tuple[Stage, list[Program]]:
    """The folder made ready, and what to start; the radio first, the rest once its `hci0` is there. `folder` is short: Unix sockets lie below it.

    `publisher` is another tree to run that one from.
    """
    now = Clock(OPERATOR).utc_ns() // 10**9
    stage = stages.build(folder, way.port, stages.DEFAULT_CLASSES, now)
    policy = stages.policy_text(stage.classes, now)
    for long, short in (
        (f'window = "{stages.WINDOW_S} seconds"', f'window = "{WINDOW_S} seconds"'),
        (f'grace = "{stages.GRACE_S} seconds"', f'grace = "{GRACE_S} seconds"'),
    ):
        assert policy.count(long) == 1
        policy = policy.replace(long, short)
    stage.policy.write_bytes(stage.council.policy(parse_policy(policy, "the test's policy")))
    settings = stage.settings.read_text()
    mqtt = f'[mqtt]\nhost = "{way.host}"\nport = {way.port}\nroot = "{stages.ROOT}"\nkeepalive_s = {KEEPALIVE_S}\n'
    mqtt += f'ca_file = "{way.ca}"\n' if way.ca else 'tls = false\nplain_text_exception = "a test on one machine"\n'
    if way.password:
        secret = folder / "password"
        secret.write_text(way.password)
        secret.chmod(0o600)
        mqtt += f'username = "unit"\npassword_file = "{secret}"\n'
    before, _, rest = settings.partition("[mqtt]\n")
    stage.settings.write_text(before + mqtt + "\n" + rest[rest.index("[radio]") :])

    def run(name: str, *command: str, at: tuple[str, ...] = (), stdin: bool = False) -> Program:
        return Program(name, [*at, sys.executable, "-m", *command], stdin=stdin)

    config = ("--config", str(stage.settings))
    elsewhere = () if publisher is None else ("/usr/bin/env", "-C", str(publisher), f"PYTHONPATH={publisher}")
    return stage, [
        run("radio", "agent.beacon.virtual_radio", "--folder", str(stage.radio)),
        run("anonymizer", "agent.anonymizer", *config),
        run("beacon", "agent.beacon", *config),
        run("board", "firmware_bridge.simulator", "--link", str(stage.board), stdin=True),
        run("firmware-bridge", "firmware_bridge", "--board", "demo", *config),
        run("publisher", "agent.publisher", *config, at=(*way.at, *elsewhere)),
    ]
