"""Imports point down only (docs/architecture.md): who may import whom, by prefix. Every import in every file is looked at."""

import ast
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

# importer prefix -> what it may import of the project. The longest matching prefix counts.
_MAY = {
    "firmware.formats": ("firmware.formats",),
    "firmware.version": (),
    "firmware.core": ("firmware.core", "firmware.formats", "firmware.version"),
    "firmware.sched": ("firmware.sched", "firmware.core", "firmware.formats"),
    "firmware.store": ("firmware.store", "firmware.formats"),
    "firmware.tape": ("firmware.tape", "firmware.store", "firmware.core", "firmware.formats", "firmware.version"),
    "firmware.net": (
        "firmware.net",
        "firmware.store",
        "firmware.sched",
        "firmware.core",
        "firmware.formats",
        "firmware.version",
    ),
    "firmware.console": (
        "firmware.console",
        "firmware.net",
        "firmware.tape",
        "firmware.store",
        "firmware.core",
        "firmware.formats",
        "firmware.version",
    ),
    "firmware.network": ("firmware.net", "firmware.core", "firmware.formats"),
    "firmware.upkeep": ("firmware.store", "firmware.tape", "firmware.core", "firmware.formats"),
    "firmware.appliance": ("firmware",),
    "firmware.main": ("firmware", "board"),
    "firmware": (),
    "hal.linux": ("hal",),
    "hal.sim": ("hal",),
    "hal": ("hal",),
    "board": ("board", "hal"),
    "agent_pc": ("agent_pc", "firmware.formats", "firmware.version"),
}
_DRIVERS = ("hal.linux", "hal.sim")  # named by the boards and by themselves only
_PROJECT = ("firmware", "hal", "board", "agent_pc", "image", "tests", "build")


def _files():
    for folder in ("firmware", "hal", "board", "agent_pc"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def _imports(path: Path):
    """Module names that a file imports, `from a import b` as a.b where that is a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "%s: relative import" % path
            for alias in node.names:
                full = "%s.%s" % (node.module, alias.name)
                place = _ROOT / full.replace(".", "/")
                yield full if place.is_dir() or place.with_suffix(".py").exists() else node.module


def _under(name: str, prefixes) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _allowed(importer: str, imported: str) -> bool:
    rule = max((prefix for prefix in _MAY if _under(importer, (prefix,))), key=len, default=None)
    if rule is None:
        return False
    if _under(imported, ("hal",)) and _under(importer, ("firmware",)):
        return rule not in ("firmware.formats", "firmware.version") and not _under(imported, _DRIVERS)
    if _under(imported, _DRIVERS) and not _under(importer, ("board",) + _DRIVERS):
        return False
    return _under(imported, _MAY[rule])


def test_imports_point_down():
    wrong = [
        "%s imports %s" % (name, imported)
        for name, path in _files()
        for imported in _imports(path)
        if imported.split(".")[0] in _PROJECT and not _allowed(name, imported)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_rule_can_fail():
    assert not _allowed("firmware.formats.pack", "hal.errors")
    assert not _allowed("firmware.store.log", "hal.linux.disk")
    assert not _allowed("agent_pc.cli", "firmware.store.log")
    assert _allowed("board.host", "hal.linux.disk")
