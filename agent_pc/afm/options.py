"""What can be set about files in use. Filled from the agent's settings; read by agent_pc/backup.py and the rest of afm."""


class Options:
    """`write_free_s`: a file is safe when so long nobody wrote to it; 0: never wait. `give_up_s`: how long a safe moment is waited for.

    `groups`: name -> [pattern], absolute paths in which * stands for anything; members are backed up as of one moment.
    `guard`, `clone`: read through guarded mounts, from clones where the filesystem has them. `databases`: group the files of databases
    that are recognised.
    """

    def __init__(
        self,
        write_free_s: float = 5.0,
        give_up_s: float = 60.0,
        clone: bool = True,
        databases: bool = True,
        groups: dict[str, list[str]] | None = None,
        guard: bool = True,
    ):
        self.write_free_s = write_free_s
        self.give_up_s = give_up_s
        self.clone = clone
        self.databases = databases
        self.groups = groups or {}
        self.guard = guard

    def but(self, changes: dict) -> "Options":
        """The same with other values in some fields."""
        return Options(**{**vars(self), **changes})

    @property
    def write_free_ns(self) -> int:
        return int(self.write_free_s * 1e9)


# Fields that `bobbin backup` can set, and its arguments as agent_pc/cli.py wants them.
SET = ("write_free_s", "give_up_s")
ARGUMENTS = (
    (
        "--write-free",
        {
            "type": float,
            "dest": "write_free_s",
            "metavar": "S",
            "help": "a file is safe when so long nobody wrote to it (default: 5)",
        },
    ),
    (
        "--give-up",
        {"type": float, "dest": "give_up_s", "metavar": "S", "help": "how long to wait until a file is safe (default: 60)"},
    ),
)
