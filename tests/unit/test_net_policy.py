"""firmware.net.policy: what every agent is told, and that it fits READY."""

import json

from firmware.core.config import Config
from firmware.core.settings import BY_NAME, Invalid
from firmware.formats import message
from firmware.net import policy


async def test_the_values_in_force_are_told():
    config = Config(None)
    await config.set("policy.delay_minutes", "15")
    await config.set("policy.exclude", "*.iso|/srv/scratch/")
    told = json.loads(policy.document(config))
    assert told["delay_minutes"] == 15 and told["exclude"] == ["*.iso", "/srv/scratch/"]
    assert told["load_percent"] == 95 and told["one_filesystem"] is False and told["force_minutes"] == 30
    assert all(["." not in key for key in told])  # nothing but the policy


async def test_the_longest_policy_fits():
    config = Config(None)
    await config.set("policy.exclude", "|".join(["\\"] * 192))
    text = policy.document(config)
    name = "n" * 64
    assert message.RECORDS[message.READY].unpack(message.RECORDS[message.READY].pack(name, text)).policy == text


def test_patterns_that_are_none():
    for text in ("a||b", "|", "a\tb", "a" * 385, "\u00e4"):
        try:
            BY_NAME["policy.exclude"].parse(text)
            raise AssertionError(text)
        except Invalid as error:
            assert "policy.exclude" in str(error)
    assert BY_NAME["policy.exclude"].parse("") == []
