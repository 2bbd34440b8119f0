"""The command table's types, and everything derived from it: parser, completion, help, documentation.

A command module declares `COMMANDS`, a tuple of `Command`; `firmware/console/commands/__init__.py` joins them.
"""

from firmware.console import text

JSON = "--json"
ANY = "any"  # may be used by everybody who has a prompt
ADMIN = "admin"


class Usage(Exception):
    """The line is no command; the text says what was expected and what came."""


class Arg:
    """An argument. `kind` has `parse(text)` (None if it is none) and `label`, as the types of `firmware.core.settings`;
    what it may be is `choices`, or `candidates(appliance, values)`. A `rest` argument takes all that is left of the line."""

    def __init__(self, name: str, kind, help_: str, optional: bool = False, rest: bool = False):
        self.name = name
        self.kind = kind
        self.help = help_
        self.optional = optional
        self.rest = rest

    def usage(self) -> str:
        shown = " | ".join(self.kind.choices) if getattr(self.kind, "choices", ()) else self.name
        return "[%s]" % shown if self.optional else shown

    def candidates(self, appliance, values: dict) -> list:
        """[(word, help)]; the word "" stands for free text."""
        if hasattr(self.kind, "candidates"):
            words = self.kind.candidates(appliance, values)
        else:
            words = self.kind.choices
        return [(word, self.help) for word in words] or [("", "%s: %s (%s)" % (self.name, self.help, self.kind.label))]


class Word:
    """Argument type: anything, `low` to `high` characters."""

    choices = ()

    def __init__(self, high: int, low: int = 1):
        self.low = low
        self.high = high
        self.label = "%d to %d characters" % (low, high)

    def parse(self, word: str):
        return word if self.low <= len(word) <= self.high else None


class Listed:
    """Argument type: any word; completion offers `listing(appliance)`. The handler checks it."""

    choices = ()

    def __init__(self, label: str, listing):
        self.label = label
        self._listing = listing

    def parse(self, word: str):
        return word if 0 < len(word) <= 64 else None

    def candidates(self, appliance, values: dict) -> list:
        return self._listing(appliance)


def message(data: dict) -> list:
    """Lines of a result that is one sentence."""
    return text.wrap(data["text"])


class Command:
    """`handler(session, values)` is a coroutine that gives a dict which JSON can show; `show(dict)` gives its lines.

    `values` holds the parsed arguments by name in lower case, None where an optional one is missing.
    """

    def __init__(self, words: str, args: tuple, help_: str, handler, show=message, role: str = ADMIN):
        self.words = tuple(words.split(" "))
        self.name = words
        self.args = args
        self.help = help_
        self.handler = handler
        self.show = show
        self.role = role

    def usage(self) -> str:
        return " ".join([self.name] + [arg.usage() for arg in self.args])


def split(line: str) -> list:
    """Words of a line; double quotes keep spaces together. Raises Usage."""
    words, word, quoted = [], None, False
    for char in line:
        if char == '"':
            quoted = not quoted
            word = word or ""
        elif char == " " and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + char
    if quoted:
        raise Usage('a double quote is open: expected another "')
    return words if word is None else words + [word]


class Registry:
    def __init__(self, commands: tuple):
        self.commands = sorted(commands, key=lambda command: command.name)

    def match(self, words: list):
        """The command whose words begin the line, the longest if several; None if there is none."""
        best = None
        for command in self.commands:
            fits = command.words == tuple(words[: len(command.words)])
            if fits and (best is None or len(command.words) > len(best.words)):
                best = command
        return best

    def parse(self, line: str):
        """(command, values, json wanted) of a line. Raises Usage."""
        words = split(line)
        json = len(words) > 1 and words[-1] == JSON
        if json:
            words = words[:-1]
        command = self.match(words)
        if command is None:
            raise Usage(self._unknown(words))
        return command, _values(command, words[len(command.words) :]), json

    def _unknown(self, words: list) -> str:
        under = [command.name for command in self.commands if command.words[0] == words[0]]
        if under:
            return "%s: expected %s" % (" ".join(words)[:64], ", ".join(under))
        return "%s: no such command; `help` lists them" % words[0][:64]

    def complete(self, line: str, appliance):
        """(start of the unfinished word, [(word, help)]) for what may stand at the end of `line`."""
        start = line.rfind(" ") + 1
        try:
            words = split(line[:start])
        except Usage:
            return start, []
        found = self._next_words(words) + self._next_args(words, appliance)
        partial = line[start:]
        return start, [row for row in found if not row[0] or row[0].startswith(partial)]

    def _next_words(self, words: list) -> list:
        """Command words that may follow `words`."""
        at, found = len(words), {}
        for command in self.commands:
            if len(command.words) > at and command.words[:at] == tuple(words):
                final = len(command.words) == at + 1
                found.setdefault(command.words[at], []).append(command.help if final else " ".join(command.words[at:]))
        return [(word, _summary(found[word])) for word in sorted(found)]

    def _next_args(self, words: list, appliance) -> list:
        command = self.match(words)
        if command is None or not command.args:
            return []
        given = words[len(command.words) :]
        last = len(command.args) - 1
        at = last if len(given) > last and command.args[last].rest else len(given)
        if at > last:
            return []
        values = {arg.name.lower(): word for arg, word in zip(command.args, given)}
        found = command.args[at].candidates(appliance, values)
        return found + ([("", "<Enter>")] if command.args[at].optional else [])

    def help(self, words: list) -> list:
        """Lines that explain the commands beginning with `words`. Raises Usage if there is none."""
        found = [command for command in self.commands if command.words[: len(words)] == tuple(words)]
        exact = [command for command in found if command.words == tuple(words)]
        if not found:
            raise Usage(self._unknown(words))
        if len(found) > 1 or not exact:
            return text.pairs([(command.usage(), command.help) for command in found])
        command = exact[0]
        rows = [(arg.usage(), "%s: %s" % (arg.help, arg.kind.label)) for arg in command.args]
        return ["%s" % command.usage()] + text.wrap(command.help) + (text.pairs(rows) if rows else [])

    def markdown(self) -> str:
        """The table for the documentation."""
        lines = ["| command | what it does |", "| --- | --- |"]
        for command in self.commands:
            lines.append("| `%s` | %s |" % (command.usage().replace("|", "\\|"), command.help.replace("|", "\\|")))
        return "\n".join(lines) + "\n"


def _summary(helps: list) -> str:
    return helps[0] if len(helps) == 1 else ", ".join([word.split(" ")[-1] for word in helps])


def _values(command: Command, words: list) -> dict:
    values = {}
    for at, arg in enumerate(command.args):
        word = words[at] if at < len(words) else None
        if arg.rest and word is not None:
            word = " ".join(words[at:])
        values[arg.name.lower()] = _value(command, arg, word)
    extra = words[len(command.args) :]
    if extra and not (command.args and command.args[-1].rest):
        raise Usage("%s: expected nothing more, got %s; usage: %s" % (command.name, repr(extra[0][:64]), command.usage()))
    return values


def _value(command: Command, arg: Arg, word):
    if word is None:
        if arg.optional:
            return None
        raise Usage("%s: expected %s (%s); usage: %s" % (command.name, arg.name, arg.help, command.usage()))
    value = arg.kind.parse(word)
    if value is None:
        raise Usage("%s: expected %s to be %s, got %s" % (command.name, arg.name, arg.kind.label, repr(word[:64])))
    return value
