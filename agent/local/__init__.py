"""The only shared input and output: sockets, systemd, the clock, files, credentials, randomness, memory, and what all daemons do alike."""
