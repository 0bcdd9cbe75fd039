"""The `dtpr-agent` command. Each subcommand imports what it needs only when it is run."""
