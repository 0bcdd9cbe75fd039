"""The policy: what people decided, as values. Pure."""
