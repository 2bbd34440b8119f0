"""What a backup counts. Filled by fdm.scan and dtm.assembly, shown by agent_pc/verbs.py."""


class Counts:
    """What a backup found and did. `files` (by name) and `bytes` are all of the view.

    files = unchanged + new + modified + redundant (held already, not sent) + touched (only metadata changed) + kept (could not be
    read: the version before it stays). excluded: names left out, each directory once; they are not in `files`.
    """

    def __init__(self):
        self.files = 0
        self.directories = 0
        self.others = 0
        self.bytes = 0
        self.unchanged = 0
        self.new = 0
        self.modified = 0
        self.redundant = 0
        self.touched = 0
        self.kept = 0
        self.deleted = 0
        self.excluded = 0
        self.problems = 0
        self.chunks = 0
        self.chunk_bytes = 0
        self.packs = 0
        self.nodes = 0
        self.bytes_sent = 0

    def add(self, other: "Counts") -> None:
        for field, count in vars(other).items():
            setattr(self, field, getattr(self, field) + count)

    def unchanged_files(self, files: int, size: int, others: int = 0, *, by: int = 1) -> None:
        """Files that are as they were, `size` bytes together, and entries that are neither file nor directory."""
        self.files += by * files
        self.unchanged += by * files
        self.bytes += by * size
        self.others += by * others
