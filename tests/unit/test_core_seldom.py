"""firmware.core.seldom: what a peer repeats does not fill the log. Runs on both interpreters."""

from firmware.core.seldom import Seldom


class _Lines(list):
    def info(self, source: str, text: str) -> None:
        self.append("I %s %s" % (source, text))

    def warning(self, source: str, text: str) -> None:
        self.append("W %s %s" % (source, text))


def _made(**options):
    time = [0]
    lines = _Lines()
    return Seldom(lines, "lan", clock=lambda: time[0], **options), lines, time


def test_the_first_is_said_and_then_how_many():
    seldom, lines, time = _made(every_ms=1000)
    for number in range(5000):
        seldom.warning(("pc", "refused"), "refused %d" % number)
        seldom.info(("other", "refused"), "here %d" % number)
    assert lines == ["W lan refused 0", "I lan here 0"]
    time[0] = 1000
    seldom.warning(("pc", "refused"), "again")
    assert sorted(lines[2:4]) == ["I lan %s 4999 (and 4998 more like it)" % word for word in ("here", "refused")]
    assert lines[4:] == ["W lan again"]


def test_a_few_are_free():
    seldom, lines, time = _made(free=3, every_ms=1000)
    for number in range(3):
        seldom.info("pc", "line %d" % number)
    time[0] = 2000
    seldom.info("pc", "line 3")
    assert lines == ["I lan line %d" % number for number in range(4)]


def test_keys_are_bounded():
    seldom, lines, time = _made(keys=4)
    for turn in range(2):
        for number in range(100):
            time[0] += 1
            seldom.info(number, "line")
            assert len(seldom._seen) <= 4
    assert len(lines) == 200, "nobody repeats: every line is said"
