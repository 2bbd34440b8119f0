"""firmware.console.registry and the command table: parser, help, completion all follow the rows."""

from firmware.console.commands import registry
from firmware.console.registry import Usage, split
from firmware.console.text import COLUMNS

_REGISTRY = registry()


class _Client:
    def __init__(self, name):
        self.name = name


class _Store:
    def clients(self):
        return [_Client("anna"), _Client("bert")]


class _Appliance:
    store = _Store()


def _words(line: str) -> list:
    return [word for word, _ in _REGISTRY.complete(line, _Appliance())[1]]


def _refused(line: str) -> str:
    try:
        _REGISTRY.parse(line)
    except Usage as error:
        return str(error)
    assert False, "expected Usage for " + line


def test_split():
    assert split('set  a "b c" ""  d"e f"') == ["set", "a", "b c", "", "de f"]
    assert split("") == []
    for bad in ('"', 'a "b'):
        try:
            split(bad)
            assert False, "expected Usage"
        except Usage:
            pass


def test_the_issue_commands_are_there():
    wanted = (
        "show status|show disk|show tape|show clients|show views|show config|show log|show version|show network|set|set clock|"
        "client add|client remove|client pair|tape label|tape backup|tape verify|tape eject|tape load|tape mount|tape unmount|"
        "disk format|backup list|password|reboot|shutdown|exit|help"
    )
    names = [command.name for command in _REGISTRY.commands]
    assert [name for name in wanted.split("|") if name not in names] == []
    assert len(set(names)) == len(names)


def test_parse_gives_typed_values():
    command, values, json = _REGISTRY.parse("show log 7")
    assert command.name == "show log" and values == {"lines": 7} and not json
    assert _REGISTRY.parse("show log --json")[1:] == ({"lines": None}, True)
    assert _REGISTRY.parse("set tape.schedule weekdays 17:30")[1]["value"] == "weekdays 17:30"
    assert _REGISTRY.parse('set net.gateway ""')[1]["value"] == ""
    command, values, _ = _REGISTRY.parse("set clock 2024-02-29 12:30")
    assert command.name == "set clock" and values == {"date": (2024, 2, 29), "time": (12, 30, 0)}
    assert _REGISTRY.parse("tape label Tape-1 force")[1] == {"name": "Tape-1", "force": "force"}


def test_refusals_say_what_was_expected():
    assert "no such command" in _refused("shwo")
    assert "show status" in _refused("show") and "show status" in _refused("show nothing")
    assert "NAME" in _refused("client add") and "usage: client add NAME" in _refused("client add")
    assert "1 to 500" in _refused("show log many") and "'many'" in _refused("show log many")
    assert "nothing more" in _refused("exit now")
    assert "now" in _refused("reboot later")
    assert "YYYY-MM-DD" in _refused("set clock 2023-02-29 12:00")
    assert "NAME" in _refused("client add " + "x" * 65)


def test_completion_follows_the_table():
    assert "show" in _words("") and "client" in _words("")
    assert _words("sh") == ["show", "shutdown"]
    assert _words("client ") == ["add", "pair", "remove"]
    assert _words("client pair ") == ["anna", "bert"]
    assert _words("client pair b") == ["bert"]
    assert _words("set telnet.") == ["telnet.enabled", "telnet.port"]
    assert _words("set telnet.enabled ") == ["on", "off"]
    assert "clock" in _words("set ") and "lan.port" in _words("set ")
    assert _words("tape label X ") == ["force", ""]
    assert _words("client add ") == [""]
    assert _words("exit ") == [] and _words("nothing ") == []
    assert "console.password" not in _words("set ")


def test_help_explains_every_command_within_the_width():
    for command in _REGISTRY.commands:
        lines = _REGISTRY.help(list(command.words))
        assert command.help.split(" ")[0] in " ".join(lines) and command.name in lines[0]
        assert all([len(line) <= COLUMNS for line in lines]), lines
    everything = "\n".join(_REGISTRY.help([]))
    assert all([command.name in everything for command in _REGISTRY.commands])
    under = [line for line in _REGISTRY.help(["tape"]) if not line.startswith(" ")]
    assert len(under) == len([command for command in _REGISTRY.commands if command.words[0] == "tape"])


def test_documentation_names_every_command():
    page = _REGISTRY.markdown()
    assert all([command.name in page for command in _REGISTRY.commands])
