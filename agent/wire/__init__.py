"""Public standards only, pure: bytes or values in, bytes or values out."""
