"""The buffer types that the pure modules take."""

Buffer = bytes | bytearray | memoryview
