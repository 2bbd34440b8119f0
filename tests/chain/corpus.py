"""The directories that `build.py run` backs up: real files of this machine, and by hand what real trees seldom have."""

import os
import random
import shutil
import subprocess
from pathlib import Path

FILES = 3000
BYTES = 77 << 20  # and the large file: more than 100 MB together
LARGE_BYTES = 24 << 20
_SMALL = 256 << 10
_ROOTS = (
    "/usr/share/doc",
    "/usr/lib/python3",
    "/usr/lib/python3.11",
    "/usr/share",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/bin",
    "/usr/lib",
)
_SEED = 20261123


class CorpusError(RuntimeError):
    """This machine or the given directory cannot be used; one line says why."""


def build(target: Path, source: str = "") -> Path:
    """Lay out a fresh tree at `target`: a copy of `source`, or enough of this machine's own files. Gives `target`."""
    if target.exists():
        shutil.rmtree(target)
    if source:
        _copy_given(Path(source), target)
    else:
        target.mkdir(parents=True)
        _copy_machine(target / "machine")
    _large(target / "large.bin")
    _odd_ones(target / "odd")
    return target


def _copy_given(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise CorpusError("--source %s: expected a directory, found %s" % (source, "a file" if source.exists() else "nothing"))
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _regular_files():
    """(path, size) of this machine's files in a fixed order, each once."""
    seen = set()
    for root in _ROOTS:
        for folder, names, files in os.walk(root):
            names.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                if path not in seen and os.path.isfile(path) and not os.path.islink(path):
                    seen.add(path)
                    yield path, os.lstat(path).st_size


def _copy_machine(target: Path) -> None:
    """Small files until there are enough, then larger ones until there is enough of them."""
    chosen, total, count = [], 0, 0
    rest = []
    for path, size in _regular_files():
        if count < FILES + 200 and size <= _SMALL:
            chosen.append(path)
            total += size
            count += 1
        elif size > _SMALL and size <= LARGE_BYTES // 3:
            rest.append((path, size))
        if count >= FILES + 200 and len(rest) > 400:
            break
    for path, size in rest:
        if total >= BYTES:
            break
        chosen.append(path)
        total += size
    if total < BYTES or count < FILES:
        raise CorpusError(
            "this machine has %d files of %d bytes to spare, %d of %d are needed: give --source DIR"
            % (count, total, FILES, BYTES)
        )
    for path in chosen:
        place = target / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)


def _large(path: Path) -> None:
    """Neither random nor empty: seeded words, so that it shrinks as documents do."""
    rng = random.Random(_SEED)
    words = [rng.randbytes(rng.randrange(2, 12)).hex().encode() for _ in range(4000)]
    with open(path, "wb") as out:
        while out.tell() < LARGE_BYTES:
            out.write(b" ".join(rng.choices(words, k=20000)) + b"\n")


def _odd_ones(folder: Path) -> None:
    """Links, holes, names and attributes that a careless program loses."""
    folder.mkdir()
    (folder / "empty").touch()
    (folder / "empty folder").mkdir()
    (folder / "text").write_text("linked twice\n")
    os.link(folder / "text", folder / "hard link")
    os.symlink("text", folder / "link")
    os.symlink("/nowhere/at all", folder / "dangling")
    os.mkfifo(folder / "fifo")
    with open(os.fsencode(folder) + b"/caf\xe9 \xff.txt", "wb") as out:
        out.write(b"a name that is not UTF-8")
    with open(folder / "sparse", "wb") as out:
        out.write(b"begin")
        out.seek(8 << 20)
        out.write(b"end")
        out.truncate(20 << 20)
    (folder / "secret").write_text("mode 0400")
    os.chmod(folder / "secret", 0o400)
    os.utime(folder / "text", ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))
    _attributes(folder / "text")


def _attributes(path: Path) -> None:
    try:
        os.setxattr(path, "user.bobbin.test", b"\x00\x01binary")
    except OSError:
        return  # this filesystem has none
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-m", "u:nobody:r", str(path)], check=False)


def change(tree: Path) -> dict:
    """What a person does in a day: edit, add, delete, rename, touch. Gives counts for the report."""
    rng = random.Random(_SEED + 1)
    files = sorted(
        path
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink() and path.parent.name != "odd" and path.name != "large.bin"
    )
    chosen = rng.sample(files, min(60, len(files)))
    edited, deleted, renamed = chosen[:30], chosen[30:45], chosen[45:50]
    for path in edited:
        os.chmod(path, 0o644)
        with open(path, "ab") as out:
            out.write(b"\nedited\n")
    for path in deleted:
        path.unlink()
    for path in renamed:
        path.rename(path.with_name(path.name + ".renamed"))
    for i in range(20):
        (tree / ("added %d" % i)).write_bytes(rng.randbytes(2000 + 100 * i))
    _edit_large(tree / "large.bin")
    return {"edited": len(edited), "deleted": len(deleted), "renamed": len(renamed), "added": 20}


def _edit_large(path: Path) -> None:
    """10 bytes in front and a page in the middle: all that follows is shifted."""
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(b"0123456789" + data[:middle] + b"a changed page".ljust(4096, b".") + data[middle + 4096 :])


def _is_part(folder: Path) -> bool:
    """Some of the tree's files, not all."""
    return FILES // 30 <= sum(1 for path in folder.rglob("*") if path.is_file()) <= FILES // 4


def second_pc(tree: Path, target: Path) -> Path:
    """Another PC with some of the same files, as a copied installation has: same names, times and contents."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    shutil.copy2(tree / "large.bin", target / "large.bin")
    part = next(path for path in sorted(tree.rglob("*")) if path.is_dir() and _is_part(path))
    subprocess.run(["cp", "-a", str(part), str(target / part.name)], check=True)
    return target
