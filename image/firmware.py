"""Compiles firmware/, hal/ and board/ to .mpy with the mpy-cross of the same version as the image's MicroPython."""

import hashlib
from pathlib import Path

from image import tables
from image.paths import BUILD, ROOT, VENV, BuildError, run

VERSION_FILE = ROOT / "firmware" / "version.py"


def version() -> str:
    """VERSION in firmware/version.py."""
    found = {}
    exec(VERSION_FILE.read_text(), found)
    return found["VERSION"]


def sources() -> list:
    """Paths, relative to the project, of every file that goes into the image."""
    found = []
    for folder in tables.SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not any(name == left or name.startswith(left + "/") for left in tables.LEFT_OUT):
                found.append(name)
    return found


def _compiler() -> Path:
    """The program inside the mpy-cross package: its wrapper in bin/ starts a Python for every file."""
    for found in VENV.glob("lib/python3*/site-packages/mpy_cross/mpy-cross"):
        return found
    raise BuildError("mpy-cross is not installed: run python3 build.py setup")


def compile_file(source: Path, name: str) -> bytes:
    """The .mpy of `source`; `name` is what tracebacks will show. Kept by the content of the source and the compiler's version."""
    key = hashlib.sha256(source.read_bytes() + (ROOT / "requirements.lock").read_bytes()).hexdigest()[:16]
    target = BUILD / "mpy" / ("%s.%s.mpy" % (name[:-3], key))
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        run([_compiler(), "-s", name, "-o", fresh, source])
        fresh.replace(target)
    return target.read_bytes()


def compiled() -> dict:
    """{path in the image without the root: .mpy}. Raises BuildError with the compiler's message."""
    return {name[:-3] + ".mpy": compile_file(ROOT / name, name) for name in sources()}
