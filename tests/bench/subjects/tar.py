"""The floor: tar and zstd -1 to a file of the same machine, without server, differencing or check."""

import shlex
from pathlib import Path

from image.paths import run
from tests.bench.subjects.subject import Subject


class Tar(Subject):
    steps = ("first", "restore")

    def start(self) -> None:
        self.store().mkdir()

    def stop(self) -> None:
        pass

    def servers(self) -> list:
        return []

    def store(self) -> Path:
        return self.folder / "store"

    def version(self) -> str:
        return (
            run(["tar", "--version"]).split()[3] + ", zstd " + run(["zstd", "--version"]).partition(" v")[2].partition(",")[0]
        )

    def backup(self, source: Path, client: int) -> list:
        return self._shell("tar -C / -cf - %s | zstd -1 -q -f -o %s", str(source).lstrip("/"), self._archive())

    def restore(self, path: Path, target: Path) -> list:
        return self._shell("zstd -dcq %s | tar -C %s -xf -", self._archive(), target)

    def _archive(self) -> Path:
        return self.store() / "all.tar.zst"

    @staticmethod
    def _shell(line: str, *words) -> list:
        return ["bash", "-o", "pipefail", "-c", line % tuple(shlex.quote(str(word)) for word in words)]
