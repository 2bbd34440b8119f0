"""The command `pair`."""

from agent_pc import state as states
from agent_pc.pair import pair


def _pair(arguments) -> tuple:
    host, port = states.parse_address(arguments.host)
    made = pair(arguments.code, host, port, arguments.state)
    document = {"client": made.name, "uuid": made.client.hex(), "appliance": made.appliance.hex(), "host": host, "port": port}
    return 0, document, [f"paired as {made.name} with the appliance at {host}:{port}"]


# name, handler, help, arguments
VERBS = (
    (
        "pair",
        _pair,
        "pair this PC with an appliance; JSON: client, uuid, appliance, host, port",
        (
            ("code", {"metavar": "CODE", "help": "16 characters from the appliance's console (client pair NAME)"}),
            ("--host", {"required": True, "metavar": "ADDR[:PORT]", "help": "the appliance"}),
        ),
    ),
)
