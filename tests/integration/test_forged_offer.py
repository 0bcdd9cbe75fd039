"""A broker that keeps a forged policy for a unit that takes offers by MQTT, with all four daemons running."""

import json
from pathlib import Path
from typing import Any

from paho.mqtt import publish

from agent.cli.demo import stage as stages
from agent.cli.demo.council import Council
from agent.cli.demo.processes import Processes
from agent.local.clock import OPERATOR, Clock
from agent.policy.parse import parse_policy
from tests.brokers import Mosquitto
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import wait_until
from tests.whole_unit import Way, whole_unit

PATIENCE_S = 120.0


def test_a_forged_policy_retained_at_the_broker_changes_nothing(folder: Path) -> None:
    """PB-21, PB-40, AN-71: well-formed, and signed by a council of the forger's own: `state` says why it is refused, the old policy counts on."""
    with Mosquitto(folder) as broker, Listener(broker.port) as city:
        unit = folder / "u"
        unit.mkdir()
        stage, (radio, *programs) = whole_unit(unit, Way("127.0.0.1", broker.port))
        stage.settings.write_text(stage.settings.read_text() + "\n[policy]\nsubscribe = true\n")
        now = Clock(OPERATOR).utc_ns() // 10**9
        laxer = parse_policy(stages.policy_text(stage.classes, now, version=2, rho="0.5", k=5), "a forger's")
        forged = Council(stages.CITY, now).policy(laxer)
        base = f"{stages.ROOT}/v1/{stages.CITY}/{stages.SITE}/{stages.UNIT}"
        publish.single(f"{base}/policy", forged, 1, retain=True, hostname="127.0.0.1", port=broker.port)

        def states() -> list[dict[str, Any]]:
            return [json.loads(payload) for payload in city.payloads("/state")]

        def releases() -> int:
            return len(city.payloads(f"/agg/{stages.STREAM}"))

        with Processes(unit, stage.output) as processes:
            processes.start(radio)
            wait_until(lambda: (stage.radio / "hci0").exists(), "the radio", PATIENCE_S)
            for program in programs:
                processes.start(program)
            wait_until(lambda: any(state["offer_refused"] for state in states()), "the refusal", PATIENCE_S)
            wait_until(lambda: states()[-1]["gate"] == "open", "an open gate", PATIENCE_S)
            before = releases()
            wait_until(lambda: releases() >= before + 3, "releases", PATIENCE_S)
        assert {state["policy_version"] for state in states()} <= {0, 1}
        assert not any(state["upcoming_version"] for state in states())
        refused = next(state["offer_refused"] for state in states() if state["offer_refused"])
    assert refused.startswith("mqtt: signatures of the policy: expected 2 of the 3 signers")
