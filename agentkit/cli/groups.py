"""Commands by name: ours, and those of plugins, which are imported when they are used."""

from typing import Any

import typer
from typer.core import TyperGroup

from agentkit import entry_points
from agentkit.errors import PluginError, UnknownNameError


class Group(TyperGroup):
    """Commands that answer an unknown name with the nearest known one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run, as typer wants it: its name, itself, its arguments."""
        known = self.list_commands(ctx)
        if args[0] not in known:
            raise UnknownNameError("command", args[0], known)
        return super().resolve_command(ctx, args)


class RootGroup(Group):
    """Our commands, then those that the metadata of installed plugins names."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + [
            name for name in entry_points.installed(entry_points.COMMANDS) if name not in own
        ]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command as `--help` lists it; no plugin is imported for that."""
        entries = entry_points.installed(entry_points.COMMANDS).get(cmd_name)
        own = super().get_command(ctx, cmd_name)
        return own or (
            _listed(cmd_name, entry_points.distribution(entries[0])) if entries else None
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if super().get_command(ctx, name) is None and name in self.list_commands(ctx):
            return name, _from_plugin(name), args[1:]
        return super().resolve_command(ctx, args)


def _listed(name: str, owner: str) -> Any:
    """Return a stand-in for a plugin's command, for the list of commands only."""
    cli = typer.Typer(add_completion=False)
    cli.command(name, help=f"From {owner}.")(lambda: None)
    return typer.main.get_command(cli)


def _from_plugin(name: str) -> Any:
    """Import the plugin that the metadata names and return the command that it registers."""
    from agentkit.plugin_manager import Domain, import_plugin

    entry = entry_points.only(entry_points.installed(entry_points.COMMANDS)[name])
    plugin = import_plugin(entry)
    domain = Domain(name, [plugin])
    cli = typer.Typer(add_completion=False, rich_markup_mode=None)
    domain.register_commands(cli)
    command = typer.main.get_group(cli).commands.get(name)
    if command is None:
        reason = "; ".join(domain.broken) or "its register_commands adds no such command"
        raise PluginError(f"{plugin.distribution} names the command {name!r}, but {reason}")
    return command
