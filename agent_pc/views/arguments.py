"""Arguments that several commands have: which view, from where. Rows of their tables."""

from agent_pc.session import SOURCES
from agent_pc.views import choose

SOURCE = (
    "--source",
    {"choices": tuple(SOURCES), "default": "disk", "help": "the appliance's disk, or the tape mounted in it"},
)
VIEW = (
    "--view",
    {
        "metavar": "VIEW",
        "type": choose.argument,
        "help": f"a view's number, or a time: the last view up to then ({choose.FORMS}). Default: the last view",
    },
)
