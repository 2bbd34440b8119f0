"""What runs on the appliance is in the subset of Python that MicroPython 1.25 and CPython share (design, section 2)."""

import ast
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("firmware", "hal", "board")

# The modules of MicroPython's unix port that exist on CPython under the same name; ffi, uctypes, tls and machine stand behind
# hal.loop.MICROPYTHON or its like, with the CPython twin beside them.
_BOTH = {
    "array",
    "asyncio",
    "binascii",
    "collections",
    "errno",
    "gc",
    "hashlib",
    "heapq",
    "io",
    "json",
    "math",
    "os",
    "random",
    "re",
    "select",
    "socket",
    "struct",
    "sys",
    "termios",
    "time",
}
_GUARDED = {
    "ffi",
    "uctypes",
    "tls",
    "micropython",
    "machine",
    "_thread",
    "ctypes",
    "ssl",
    "subprocess",
    "fcntl",
    "signal",
    "traceback",
    "base64",
    "tempfile",
}
_PROJECT = {"firmware", "hal", "board"}

_MISSING_CALLS = {
    "asyncio": {"Queue", "TaskGroup", "timeout", "to_thread", "wait", "shield"},
    "struct": {"Struct", "iter_unpack"},
}


def _files():
    for folder in _FOLDERS:
        yield from sorted((_ROOT / folder).rglob("*.py"))


def _guarded(tree) -> set:
    """Nodes inside an if or try: the place of an import that one interpreter lacks."""
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.Try, ast.FunctionDef, ast.AsyncFunctionDef)):
            inside.update(id(child) for child in ast.walk(node))
    return inside


def _async_generators(tree):
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            own = [node for statement in function.body for node in _without_inner(statement)]
            if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own):
                yield function


def _without_inner(node):
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from _without_inner(child)


def faults(text: str) -> list:
    """What MicroPython would not run as CPython does, as `line: what`."""
    tree = ast.parse(text)
    found = []
    guarded = _guarded(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Match):
            found.append((node.lineno, "match statement"))
        elif isinstance(node, ast.Raise) and node.cause is not None:
            found.append((node.lineno, "raise ... from"))
        elif isinstance(node, ast.arguments) and node.posonlyargs:
            found.append((node.posonlyargs[0].lineno, "positional-only parameters"))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in _BOTH | _PROJECT and not (top in _GUARDED and id(node) in guarded):
                    found.append((node.lineno, "import of %s" % name))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in _MISSING_CALLS.get(node.value.id, ()):
                found.append((node.lineno, "%s.%s" % (node.value.id, node.attr)))
    found += [(function.lineno, "asynchronous generator") for function in _async_generators(tree)]
    return ["%d: %s" % fault for fault in sorted(found)]


def test_firmware_is_in_the_subset():
    wrong = ["%s:%s" % (path.relative_to(_ROOT), fault) for path in _files() for fault in faults(path.read_text())]
    assert not wrong, "\n".join(wrong)


def test_the_rule_can_fail():
    assert faults("async def f():\n    yield 1\n") == ["1: asynchronous generator"]
    assert faults("import typing\n") == ["1: import of typing"]
    assert faults("import asyncio\nq = asyncio.Queue()\n") == ["2: asyncio.Queue"]
    assert faults("try:\n    pass\nexcept OSError as e:\n    raise ValueError() from e\n") == ["4: raise ... from"]
