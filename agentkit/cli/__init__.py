"""The command line. A command imports what it needs when it runs: `--help` is instant."""

from agentkit.cli.app import main

__all__ = ["main"]
