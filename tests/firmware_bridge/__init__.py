"""Tests of firmware_bridge; rules FB-1 to FB-21 are those of firmware_bridge/SPEC.md."""
