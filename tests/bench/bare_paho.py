"""The script that everyone writes first. `python tests/bench/bare_paho.py TTY HOST PORT CA PASSWORD`, the last two may be empty."""

import sys

import serial  # type: ignore[import-untyped]  # pyserial ships no types
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

tty, host, port, ca, password = sys.argv[1:]
client = Client(CallbackAPIVersion.VERSION2, "bare", clean_session=False)
client.max_queued_messages_set(0)  # no limit
if ca:
    client.tls_set(ca)
if password:
    client.username_pw_set("bare", password)
client.connect_async(host, int(port), keepalive=5)
client.loop_start()
board = serial.Serial(tty, 115200)
while line := board.readline():
    client.publish("bare/windows", line.strip(), qos=1)
