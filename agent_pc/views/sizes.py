"""Sizes as people write them: 500, 10k, 1.5M, 2GiB. Used by `bobbin find` and `bobbin mount`."""

import argparse
import re

from agent_pc.exits import AgentError

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def parse(text: str) -> int:
    """Bytes; k, M, G, T are powers of 1024. Raises AgentError(USAGE)."""
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise AgentError("USAGE", f"size {text!r}: expected a number and k, M, G or T, such as 10M")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def argument(text: str) -> int:
    """`parse` for argparse."""
    try:
        return parse(text)
    except AgentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
