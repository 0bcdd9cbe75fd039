"""A sensor board in software: speaks the serial protocol over a pty like real firmware. For the demo, tests and bench work."""
