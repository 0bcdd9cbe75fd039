"""The only shared input and output: what all daemons do alike, sockets, systemd, the clock, files, credentials, randomness, memory."""
