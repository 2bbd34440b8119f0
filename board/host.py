"""The appliance as a native process of a Linux host; its arguments take the place of a device table."""

# name, default, kind, help; `image/host.py` hands the same options through.
OPTIONS = (
    ("--state", "", str, "folder for config, catalog and scratch files"),
    ("--disk", "", str, "file of the data disk (default: disk.img in the state folder)"),
    ("--size", 0, int, "bytes of the data disk if the file does not exist yet (0: no disk)"),
    ("--listen", "127.0.0.1:0", str, "address and port for agents (port 0: any free one)"),
    ("--telnet", 0, int, "port for telnet, once that is switched on"),
    ("--tape", "", str, "iscsi://HOST:PORT/IQN/LUN of a tape drive; may come several times"),
    ("--console", "stdio", str, "stdio, or a path where a link to the console's pty is made"),
)


def parse(arguments: list) -> dict:
    """{option name: value}, with "tapes" as a list. Raises ValueError."""
    kinds = {name: kind for name, _, kind, _ in OPTIONS}
    found = {name[2:]: default for name, default, _, _ in OPTIONS}
    found["tapes"] = []
    if len(arguments) % 2:
        raise ValueError("argument %s has no value" % arguments[-1])
    for at in range(0, len(arguments), 2):
        name, value = arguments[at], arguments[at + 1]
        if name not in kinds:
            raise ValueError("argument %s is unknown: expected %s" % (name, ", ".join([row[0] for row in OPTIONS])))
        if name == "--tape":
            found["tapes"].append(value)
        else:
            found[name[2:]] = kinds[name](value)
    if not found["state"]:
        raise ValueError("--state FOLDER is missing")
    host, _, port = found["listen"].rpartition(":")
    found["host"], found["port"] = host, int(port)
    return found


def build(arguments: list):
    """The machine. Raises ValueError for arguments that make no sense."""
    from hal.linux.host import HostMachine

    return HostMachine(parse(arguments))
