"""The command `status`."""

import sys

from agent_pc import state as states
from agent_pc import terminal
from agent_pc.exits import AgentError
from agent_pc.service import told
from agent_pc.session import Session


def _status(arguments) -> tuple:
    held = states.load(arguments.state)
    agent, lines = told.status(held.directory)
    document: dict = {"host": held.host, "port": held.port, "agent": agent}
    try:
        with Session.open(held) as session:
            appliance = session.status()
            document.update(client=session.name, software=session.welcome.software, appliance=appliance)
    except AgentError as error:
        print(f"bobbin: {terminal.safe(str(error))}", file=sys.stderr)
        error_row = {"name": error.name, "status": error.status, "text": str(error)}
        return error.status, {**document, "error": error_row}, lines
    client = f"client {document['client']} of the appliance at {held.host}:{held.port} ({document['software']})"
    return 0, document, [client, *[f"{key}: {value}" for key, value in appliance.items()], *lines]


# name, handler, help, arguments
VERBS = (
    (
        "status",
        _status,
        "what the appliance says of itself and of this client; JSON: host, port, client, software, appliance, agent",
        (),
    ),
)
