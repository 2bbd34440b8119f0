"""Which names are left out: the patterns of .gitignore, and CACHEDIR.TAG. Made by service.policy, asked by fdm.scan.

    name, *.tmp, a/b     at any depth: the pattern is the end of the path
    /srv/scratch         from the root of the PC
    build/               only a directory
    /tmp/*, **/x/**      * and ? stop at a slash, ** does not, [a-z] is one of
    !keep.tmp            takes back what an earlier pattern left out; the last one that fits decides

A directory that is left out is not entered. What a user names as a source is never left out: only what is found below it.
A million names are looked at in one pass: most are let through by the shape of the last component alone.
"""

import functools
import os
import re

from agent_pc.exits import AgentError

TAG = b"CACHEDIR.TAG"
_TAG_BEGINS = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/
_WILD = b"*?["
_NEVER = (b"\0",)  # no name has this in it

# Parts of a pattern and what they are as a regular expression over bytes.
_TOKENS = re.compile(
    rb"(?P<any>^\*\*/|/\*\*(?=/))|(?P<below>/\*\*$)|(?P<star>\*+)|(?P<one>\?)|(?P<set>\[[!^]?\]?[^\]]*\])|\\(?P<quoted>.)", re.S
)


class Rule:
    """One pattern. Raises AgentError(USAGE) if it is none."""

    def __init__(self, text: str):
        pattern = os.fsencode(text)
        self.exclude = not pattern.startswith(b"!")
        pattern = pattern.removeprefix(b"!")
        self.directory = pattern.endswith(b"/")
        body = pattern.rstrip(b"/")
        if not body.strip(b"/"):
            raise AgentError("USAGE", f"exclude: expected a pattern like *.tmp or /srv/scratch/, got {text!r}")
        self.anchored = body.startswith(b"/") and not body.startswith(b"/**/")
        body = body.lstrip(b"/")
        while body.startswith(b"**/"):
            body = body[3:]
        self.parent, _, self.last = body.rpartition(b"/")
        self._body = body
        try:
            if b"[" in body:  # only a set can be wrong
                self.path.fullmatch(b"")
        except re.error as error:
            raise AgentError("USAGE", f"exclude: pattern {text!r}: {error}") from None

    @functools.cached_property
    def path(self) -> re.Pattern:
        """Compiled when it is needed: of an unchanged tree no name is looked at."""
        return re.compile((b"/" if self.anchored else b"(?:/.*)?/") + _expression(self._body), re.S)

    def fits(self, path: bytes, directory: bool) -> bool:
        return (directory or not self.directory) and self.path.fullmatch(path) is not None


def _expression(body: bytes) -> bytes:
    """A pattern without its leading slash as a regular expression."""
    out, at = [], 0
    for token in _TOKENS.finditer(body):
        out.append(re.escape(body[at : token.start()]))
        out.append(_token(token))
        at = token.end()
    return b"".join(out) + re.escape(body[at:])


def _token(token) -> bytes:
    kind, text = token.lastgroup, token.group()
    if kind == "any":
        return b"(?:.*/)?" if text == b"**/" else b"(?:/.*)?"
    if kind == "set":
        inner = text[1:-1]
        inverted = inner[:1] in (b"!", b"^")
        inner = inner[1:] if inverted else inner
        return (
            b"["
            + (b"^/" if inverted else b"")
            + inner.replace(b"\\", b"\\\\").replace(b"[", b"\\[").replace(b"]", b"\\]")
            + b"]"
        )
    if kind == "quoted":
        return re.escape(token["quoted"])
    return {"below": b"/.+", "star": b"[^/]*", "one": b"[^/]"}[kind]


class Exclusions:
    """`patterns` (str) in order; `cachedir_tag`: whether the contents of tagged cache directories are left out."""

    def __init__(self, patterns, cachedir_tag: bool = True):
        self._patterns = list(patterns)
        self._rules = [Rule(text) for text in self._patterns]
        self._rules.reverse()
        self.cachedir_tag = cachedir_tag
        shapes = {rule.last for rule in self._rules if rule.exclude and not rule.parent and not rule.anchored}
        self._names = frozenset(last for last in shapes if not _wild(last))
        ends = {last for last in shapes if last[:1] == b"*" and not _wild(last[1:])}
        begins = {last for last in shapes if last[-1:] == b"*" and not _wild(last[:-1])} - ends
        self._ends = tuple(last[1:] for last in ends) or _NEVER
        self._begins = tuple(last[:-1] for last in begins) or _NEVER
        self._strange = shapes - self._names - ends - begins

    @functools.cached_property
    def _odd(self) -> re.Pattern:
        return _union([_expression(last) for last in self._strange])

    @functools.cached_property
    def _parents(self) -> re.Pattern:
        return _union([_parent(rule) for rule in self._rules if rule.exclude and (rule.parent or rule.anchored)])

    def key(self) -> tuple:
        """Equal for such as leave out the same."""
        return tuple(self._patterns), self.cachedir_tag

    def suspects(self, directory: bytes, names: list) -> list:
        """Those of `names` that a pattern may fit; `excluded` decides. Cheap: called for every name there is."""
        if self._parents.fullmatch(directory.rstrip(b"/")):
            return names
        known, ends, begins, odd = self._names, self._ends, self._begins, self._odd.fullmatch
        return [name for name in names if name in known or name.endswith(ends) or name.startswith(begins) or odd(name)]

    def excluded(self, path: bytes, directory: bool) -> bool:
        """Whether `path` is left out."""
        for rule in self._rules:
            if rule.fits(path, directory):
                return rule.exclude
        return False


def _wild(text: bytes) -> bool:
    return any(character in _WILD for character in text) or b"\\" in text


def _parent(rule: Rule) -> bytes:
    """What a directory's path must be for the rule's last component to be looked for in it."""
    parts = (*rule.parent.split(b"/"), rule.last) if rule.parent else (rule.last,)
    deep = b"**" in parts
    above = b"/".join(parts[: parts.index(b"**")]) if deep else rule.parent
    root = b"" if rule.anchored else b"(?:/.*)?"
    return root + (b"/" + _expression(above) if above else b"") + (b"(?:/.*)?" if deep else b"")


def _union(expressions: list):
    """One expression that fits what any of them fits; without any, nothing."""
    return re.compile(b"|".join(b"(?:" + one + b")" for one in expressions) if expressions else rb"(?!)", re.S)


def is_cache(directory: bytes) -> bool:
    """Whether CACHEDIR.TAG in `directory` says that its contents can be made again."""
    try:
        with open(os.path.join(directory, TAG), "rb") as file:
            return file.read(len(_TAG_BEGINS)) == _TAG_BEGINS
    except OSError:
        return False


def literal(path: str) -> str:
    """`path` as a pattern that fits itself only."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)
