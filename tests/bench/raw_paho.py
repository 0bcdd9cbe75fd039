"""What everyone writes first: paho, a callback, a count. `python -m tests.bench.raw_paho PORT` receives all and verifies nothing."""

import sys

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Until it is killed."""
    client = Client(CallbackAPIVersion.VERSION2, "raw-paho", protocol=MQTTv5)
    received: list[int] = []
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_message = lambda _client, _userdata, message: received.append(len(message.payload))
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_forever()


if __name__ == "__main__":
    main()
