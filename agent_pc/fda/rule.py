"""Which differencing a modified file gets: the written regions (FDA) or the sliding fingerprint (SFP). Called by fda.accelerator.

Ref: patent, block differencing: "if more than a threshold percentage, for example 5-10 percent, has been modified, and if the absolute
size of the changes is smaller than a given size (e.g. 2 MB), then the SFP process is selected; otherwise, the FDA-detected regions".
"""

from agent_pc.fda.regions import Regions


class Rule:
    """`least_bytes`: smaller files are not tracked. `share` modified and `absolute_bytes` modified: the patent's two bounds.
    `every`: each so many-th backup of a file reads all of it, so that a log that lied does so for a bounded time; 0: never."""

    def __init__(self, least_bytes: int = 4 << 20, share: float = 0.1, absolute_bytes: int = 1 << 30, every: int = 16):
        self.least_bytes = least_bytes
        self.share = share
        self.absolute_bytes = absolute_bytes
        self.every = every


# reason, test(rule, regions, size, age): the first that holds sends the file to SFP
_SFP = (
    ("not known what was written", lambda rule, regions, size, age: regions is None),
    ("small", lambda rule, regions, size, age: size < rule.least_bytes),
    ("its turn to be read in full", lambda rule, regions, size, age: rule.every and age + 1 >= rule.every),
    (
        "much of it written",
        lambda rule, regions, size, age: regions.bytes > rule.share * size and regions.bytes < rule.absolute_bytes,
    ),
)


def why_sfp(rule: Rule, regions: Regions | None, size: int, age: int) -> str:
    """Why SFP is used; empty: the regions are used."""
    return next((reason for reason, test in _SFP if test(rule, regions, size, age)), "")
