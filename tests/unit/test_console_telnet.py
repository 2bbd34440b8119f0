"""firmware.console.telnet: option negotiation that ends, hostile input that stays bounded."""

import random

from firmware.console.telnet import ECHO, SUPPRESS_GO_AHEAD, WINDOW_SIZE, Protocol

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240


def _bytes(*numbers) -> bytes:
    return bytes(numbers)


def test_offers():
    sent = Protocol().start()
    assert (
        _bytes(IAC, WILL, ECHO) in sent
        and _bytes(IAC, WILL, SUPPRESS_GO_AHEAD) in sent
        and _bytes(IAC, DO, WINDOW_SIZE) in sent
    )


def test_agreement_and_refusal_of_our_offers_are_not_answered():
    for verb, option in ((DO, ECHO), (DONT, ECHO), (WILL, WINDOW_SIZE), (WONT, WINDOW_SIZE)):
        protocol = Protocol()
        protocol.start()
        assert protocol.receive(_bytes(IAC, verb, option)) == (b"", b"")
        assert protocol.receive(_bytes(IAC, verb, option)) == (b"", b""), "a repeated answer must not be answered"


def test_other_options_are_refused_and_withdrawals_of_them_ignored():
    protocol = Protocol()
    assert protocol.receive(_bytes(IAC, DO, 24)) == (b"", _bytes(IAC, WONT, 24))
    assert protocol.receive(_bytes(IAC, WILL, 39)) == (b"", _bytes(IAC, DONT, 39))
    assert protocol.receive(_bytes(IAC, DONT, 24, IAC, WONT, 39)) == (b"", b"")


def test_withdrawal_of_an_agreed_option_is_confirmed_once():
    protocol = Protocol()
    protocol.receive(_bytes(IAC, DO, ECHO))
    assert protocol.receive(_bytes(IAC, DONT, ECHO)) == (b"", _bytes(IAC, WONT, ECHO))
    assert protocol.receive(_bytes(IAC, DONT, ECHO)) == (b"", b"")
    assert protocol.receive(_bytes(IAC, DO, ECHO)) == (b"", _bytes(IAC, WILL, ECHO))


def test_two_ends_that_answer_each_other_fall_silent():
    one, other = Protocol(), Protocol()
    to_other, to_one, rounds = one.start(), other.start(), 0
    while to_other or to_one:
        _, answer = other.receive(to_other)
        _, to_other = one.receive(to_one)
        to_one = answer
        rounds += 1
        assert rounds < 5


def test_commands_split_anywhere():
    data = b"a" + _bytes(IAC, IAC, IAC, DO, 24, IAC, SB, WINDOW_SIZE, 0, 100, 0, 40, IAC, SE) + b"b"
    protocol = Protocol()
    pieces = [protocol.receive(data[i : i + 1]) for i in range(len(data))]
    assert b"".join([typed for typed, _ in pieces]) == b"a\xffb" and protocol.columns == 100
    assert b"".join([answer for _, answer in pieces]) == _bytes(IAC, WONT, 24)


def test_window_size_is_bounded_and_may_hold_255():
    for width, expected in ((0, 80), (1, 20), (65535, 500), (255, 255)):
        protocol = Protocol()
        size = _bytes(width >> 8, width & 255, 0, 24).replace(b"\xff", b"\xff\xff")
        protocol.receive(_bytes(IAC, SB, WINDOW_SIZE) + size + _bytes(IAC, SE))
        assert protocol.columns == expected


def test_subnegotiation_is_bounded():
    protocol = Protocol()
    protocol.receive(_bytes(IAC, SB) + b"x" * 100000)
    assert len(protocol._sub) == 64
    assert protocol.receive(_bytes(IAC, SE) + b"y") == (b"y", b"")


def test_keys_from_commands():
    protocol = Protocol()
    assert protocol.receive(_bytes(IAC, 244, IAC, 243, IAC, 247, IAC, 248, IAC, 241, IAC, 249))[0] == b"\x03\x03\x7f\x15"
    assert b"bobbin" in protocol.receive(_bytes(IAC, 246))[1]


def test_sent_lines_and_returns():
    assert Protocol().send("a\nb\rc") == b"a\r\nb\r\0c"


def test_random_bytes_never_fail_and_answers_are_bounded():
    seed = 5
    random.seed(seed)
    protocol = Protocol()
    received = answered = 0
    for _ in range(3000):
        data = bytes([random.choice((IAC, IAC, DO, DONT, WILL, WONT, SB, SE, 1, 3, 31, 24, 246, 0, 13, 65)) for _ in range(20)])
        answered += len(protocol.receive(data)[1])
        received += len(data)
    assert answered <= 6 * received
