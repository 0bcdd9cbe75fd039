"""Tests of firmware_bridge.simulator."""
