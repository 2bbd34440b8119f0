"""What a program that is measured must be able to do. Implemented by the other modules here, called by tests/bench/backup.py."""

from pathlib import Path


class Subject:
    """A server with an empty store in `folder`, and two clients of it. Commands are argument lists that end when the work is done.

    `steps`: names of the steps that it takes part in, None for all."""

    steps = None
    environment: dict = {}

    def __init__(self, folder: Path):
        self.folder = folder

    @staticmethod
    def install() -> None:
        """Get the program if it is not here yet. Called before the network is left."""

    def start(self) -> None:
        """Begin with an empty store."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def servers(self) -> list:
        """Pids of the server's processes."""
        raise NotImplementedError

    def store(self) -> Path:
        """The folder that the server keeps everything in."""
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def backup(self, source: Path, client: int) -> list:
        """`client` 0 or 1: two computers that have nothing in common but the server."""
        raise NotImplementedError

    def restore(self, path: Path, target: Path) -> list:
        """The last backup's `path`, a file or a folder, into the empty folder `target`; client 0."""
        raise NotImplementedError

    def restored(self, path: Path, target: Path) -> Path:
        """Where `restore` has put it."""
        return target / str(path).lstrip("/")
