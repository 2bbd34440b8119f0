"""Tiny test runner for MicroPython: `micropython tests/micro.py FILE...`, started by tests/host and tests/contract.

Runs the functions test_* of each file, given relative to the repository's root, which is the current directory, and
what its `contract_cases` lists. A coroutine is run by asyncio. Prints each failure and closes with "N passed, N failed";
the exit status is 1 after a failure or when there was no test.
"""

import asyncio
import sys


def _module(path: str):
    name = path[:-3].replace("/", ".")
    module = __import__(name)
    for part in name.split(".")[1:]:
        module = getattr(module, part)
    return module


def tests_of(module) -> list:
    """[(name, function)]"""
    found = [(name, getattr(module, name)) for name in sorted(dir(module)) if name.startswith("test_")]
    if hasattr(module, "contract_cases"):
        found += module.contract_cases()
    return found


def run(name: str, function) -> bool:
    """True if the test passed."""
    try:
        result = function()
        if hasattr(result, "send"):
            asyncio.run(result)
        return True
    except Exception as error:
        print("FAILED " + name)
        sys.print_exception(error)
        return False


def main(paths: list) -> None:
    sys.path.insert(0, "")
    results = []
    for path in paths:
        results += [run("%s::%s" % (path, name), function) for name, function in tests_of(_module(path))]
    failed = results.count(False)
    print("%d passed, %d failed" % (len(results) - failed, failed))
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
