"""What everyone writes first: paho, a callback, a count. `python -m tests.bench.raw_paho PORT` receives all and verifies nothing."""

import sys
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Until it is killed."""
    client = Client(CallbackAPIVersion.VERSION2, "raw-paho", protocol=MQTTv5)
    received: list[int] = []

    def subscribe(client: Client, *_: Any) -> None:
        client.subscribe("#", 1)

    def count(client: Client, userdata: Any, message: MQTTMessage) -> None:
        received.append(len(message.payload))

    client.on_connect = subscribe
    client.on_message = count
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_forever()


if __name__ == "__main__":
    main()
