"""Which plugins are installed, read from their metadata alone. Imports none of them."""

import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from agentkit.errors import PluginError

PLUGINS = "agentkit"  # name = domain, value = the module with its hookimpls
COMMANDS = "agentkit.commands"  # name = subcommand, value = the plugin module that registers it


def switched_off() -> bool:
    """Return whether AGENTKIT_DISABLE_PLUGINS asks for no installed plugin at all."""
    value = os.environ.get("AGENTKIT_DISABLE_PLUGINS", "")
    return value.lower() not in ("", "0", "false", "no", "off")


def installed(group: str = PLUGINS) -> dict[str, list[EntryPoint]]:
    """Return the entry points by name, sorted; none when plugins are switched off."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in () if switched_off() else entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return dict(sorted(found.items()))


def only(entries: Iterable[EntryPoint]) -> EntryPoint:
    """Return the one entry point of a name; two distributions with one name is an error."""
    first, *more = entries
    if more:
        owners = ", ".join(sorted(distribution(entry) for entry in (first, *more)))
        raise PluginError(f"plugin {first.name!r} is claimed by {owners}; uninstall all but one")
    return first


def distribution(entry: EntryPoint) -> str:
    """Return the name and version of the distribution that an entry point comes from."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
