"""dtpr-publisher: follows the release log read-only and publishes what is in it. Has the network; has no Reading and no signing key."""
