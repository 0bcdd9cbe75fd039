"""dtpr-edge-agent: a sensor unit that tells everyone nearby what it does, does only that, and can prove it."""

__version__ = "0.1.0"
