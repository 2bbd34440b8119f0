"""The command `console`."""

from agent_pc import console


def _console(arguments) -> tuple:
    console.run(arguments.port, arguments.telnet, arguments.baud)
    return 0, {}, []


# name, handler, help, arguments
VERBS = (
    (
        "console",
        _console,
        "the appliance's console on this terminal; Ctrl-] leaves",
        (
            ("--port", {"required": True, "metavar": "PORT", "help": "/dev/ttyUSB0, socket://HOST:PORT, telnet://HOST:PORT"}),
            ("--telnet", {"action": "store_true", "help": "PORT is HOST:PORT of the telnet console"}),
            ("--baud", {"type": int, "default": 115200}),
        ),
    ),
)
