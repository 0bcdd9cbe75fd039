"""Our own short text for every DTPR element, in six languages: what a resident sees when an element is opened and no official text was imported."""
