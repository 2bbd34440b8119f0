"""Tiny test runner for MicroPython: `micropython tests/micro.py FILE...` runs the functions test_* of each file.

tests/host/test_micro.py calls it for tests/unit and tests/contract. A coroutine function is run by asyncio. Prints one line
per failure and a closing "N passed, N failed"; the exit status is 1 after a failure.
"""

import asyncio
import sys


def _module(path: str):
    name = path[:-3].replace("/", ".")
    module = __import__(name)
    for part in name.split(".")[1:]:
        module = getattr(module, part)
    return module


def _is_coroutine(value) -> bool:
    return hasattr(value, "send") and hasattr(value, "throw")


def run(path: str) -> tuple:
    """(passed, failed) of one file, given relative to the current directory, which is the repository's."""
    module = _module(path)
    passed = failed = 0
    for name in sorted(dir(module)):
        if not name.startswith("test_"):
            continue
        try:
            result = getattr(module, name)()
            if _is_coroutine(result):
                asyncio.run(result)
            passed += 1
        except Exception as error:
            failed += 1
            print("FAILED %s::%s" % (path, name))
            sys.print_exception(error)
    return passed, failed


def main(paths: list) -> None:
    sys.path.insert(0, "")
    passed = failed = 0
    for path in paths:
        counts = run(path)
        passed += counts[0]
        failed += counts[1]
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
