"""What a backup counts. Filled by fdm.scan and dtm.assembly, shown by agent_pc/verbs.py."""

import dataclasses


@dataclasses.dataclass
class Counts:
    """What a backup found and did. `files` (by name) and `bytes` are all of the view.

    files = unchanged + new + modified + redundant (held already, not sent) + touched (only metadata changed) + kept (could not be
    read: the version before it stays). excluded: names left out, each directory once; they are not in `files`.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    bytes: int = 0
    unchanged: int = 0
    new: int = 0
    modified: int = 0
    redundant: int = 0
    touched: int = 0
    kept: int = 0
    deleted: int = 0
    excluded: int = 0
    problems: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    packs: int = 0
    nodes: int = 0
    bytes_sent: int = 0

    def add(self, other: "Counts") -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def unchanged_files(self, files: int, size: int, others: int = 0, *, by: int = 1) -> None:
        """Files that are as they were, `size` bytes together, and entries that are neither file nor directory."""
        self.files += by * files
        self.unchanged += by * files
        self.bytes += by * size
        self.others += by * others
