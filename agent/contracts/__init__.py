"""What crosses a process boundary: one file a channel, each with its size cap, pure. Nothing else may cross."""
