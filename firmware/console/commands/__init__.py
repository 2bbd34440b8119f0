"""The console's commands, one module a topic. `registry()` joins them."""

from firmware.console.commands import clients, disk, keep, password, setting, show, store, system, tape
from firmware.console.registry import Registry

MODULES = (clients, disk, keep, password, setting, show, store, system, tape)


def registry() -> Registry:
    """All commands."""
    return Registry(tuple([command for module in MODULES for command in module.COMMANDS]))
