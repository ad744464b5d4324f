"""The healthcare domain."""
