"""Gives the LAN interface its address, from the settings or by DHCP. Called by the appliance at start."""

from firmware.core.settings import Invalid


async def bring_up(appliance) -> None:
    """Raises HalError, Invalid. With DHCP it returns at once; a task gets and renews the address."""
    config, machine = appliance.config, appliance.machine
    if not machine.network.get("interface"):
        return
    if config.get("net.mode") == "static":
        address = config.get("net.address")
        if not address:
            raise Invalid("net.mode is static but net.address is empty: set it, or set net.mode dhcp")
        await machine.configure_network(address, config.get("net.mask"), config.get("net.gateway"))
        return
    from firmware.net.dhcp import Client

    appliance.supervisor.spawn("dhcp", Client(appliance).run, restart=True)
