"""agent_pc.service.policy: how the appliance's and the user's settings become one, and what is said of bad ones."""

import pytest

from agent_pc.exits import AgentError
from agent_pc.fda.rule import Rule
from agent_pc.service import policy
from agent_pc.service.policy import Policy
from firmware.core.settings import SETTINGS

# key, user's, appliance's, merged, where from
_MERGED = (
    ("delay_minutes", None, None, 60, "built in"),
    ("delay_minutes", 30, 120, 30, "agent.toml"),
    ("delay_minutes", 600, 120, 120, "appliance"),
    ("delay_minutes", 600, None, 600, "agent.toml"),
    ("force_minutes", 10, 0, 0, "appliance"),
    ("load_percent", 50, 95, 50, "agent.toml"),
    ("load_percent", None, 90, 90, "appliance"),
    ("one_filesystem", False, True, True, "appliance"),
    ("one_filesystem", True, False, True, "agent.toml"),
    ("one_filesystem", None, False, False, "appliance"),
    ("cachedir_tag", False, True, False, "agent.toml"),  # the appliance is not asked
)


@pytest.mark.parametrize("key,user,network,merged,origin", _MERGED)
def test_the_rules(key, user, network, merged, origin):
    made = Policy({} if user is None else {key: user}, {} if network is None else {key: network})
    assert (made.values[key], made.origins[key]) == (merged, origin)


def test_the_appliance_has_the_last_word_on_patterns():
    made = Policy({"exclude": ["!*.tmp", "!*.iso", "*.mine"]}, {"exclude": ["*.iso", "!*.odt"]})
    rules = made.exclusions()
    left_out = {name: rules.excluded(b"/home/" + name, False) for name in (b"a.tmp", b"a.iso", b"a.mine", b"a.odt", b"a.c")}
    assert left_out == {b"a.tmp": False, b"a.iso": True, b"a.mine": True, b"a.odt": False, b"a.c": False}
    bare = Policy({"default_exclude": False}, {})
    assert bare.patterns == []


def test_what_a_strange_appliance_says_is_ignored_and_noted():
    made = Policy({}, {"delay_minutes": "soon", "load_percent": True, "exclude": [1], "novelty": {}, "sources": ["/etc"]})
    assert made.delay_minutes == 60 and made.load_percent == 95 and len(made.notes) == 3
    assert made.sources != ["/etc"]


@pytest.mark.parametrize(
    "text,words",
    (
        ("delay_minutes = 0", ("delay_minutes", "1 to 10080", "got 0")),
        ("delay_minutes = true", ("delay_minutes", "got True")),
        ("delay = 5", ("delay", "no such key", "delay_minutes")),
        ("exclude = ['/']", ("exclude", "a list of patterns", "got ['/']")),
        ("sources = ['home']", ("sources", "a list of paths")),
        ("x =", ("TOML",)),
    ),
)
def test_errors_name_key_expected_and_got(tmp_path, text, words):
    (tmp_path / "agent.toml").write_text(text)
    with pytest.raises(AgentError) as caught:
        policy.load(str(tmp_path))
    assert all(word in str(caught.value) for word in (*words, "agent.toml"))


def test_the_network_policy_is_kept(tmp_path):
    assert policy.load_network(str(tmp_path)) == {}
    policy.keep_network(str(tmp_path), {"delay_minutes": 7})
    assert policy.load(str(tmp_path)).delay_minutes == 7
    (tmp_path / "policy.json").write_text("[")
    assert policy.load(str(tmp_path)).delay_minutes == 60


def test_both_sides_know_the_same_keys():
    told = {setting.name.removeprefix("policy."): setting for setting in SETTINGS if setting.name.startswith("policy.")}
    shared = {row[0]: row for row in policy.ROWS if row[3] != "local"}
    assert set(told) == set(shared)
    for key, setting in told.items():
        value = setting.parse(setting.default)
        assert value == ([] if key == "exclude" else shared[key][2]) and (value == [] or shared[key][1].good(value))


def test_the_tables_guard_and_fda(tmp_path):
    """As TOML writes them; the rule of differencing is made of them."""
    assert vars(policy.load(str(tmp_path)).rule()) == vars(Rule())
    (tmp_path / "agent.toml").write_text(
        '[guard]\nmounts = ["/srv/shop"]\nspool_mib = 64\n[fda]\nshare_percent = 25\nabsolute_mib = 2\nleast_mib = 1\nfull_every = 0\n'
    )
    made = policy.load(str(tmp_path))
    assert made.values["guard.mounts"] == ["/srv/shop"] and made.origins["guard.mounts"] == "agent.toml"
    assert vars(made.rule()) == vars(Rule(1 << 20, 0.25, 2 << 20, 0))


@pytest.mark.parametrize(
    "text,words",
    [
        ("[fda]\nshare = 3", ("fda.share", "no such key")),
        ("[fda]\nshare_percent = 101", ("fda.share_percent", "0 to 100", "101")),
        ("[fda]\nleast_mib = 0.5", ("fda.least_mib", "0.5")),
        ("[guard]\nmounts = 'x'", ("guard.mounts", "list of paths")),
        ("[guard]\nmounts = ['srv']", ("guard.mounts", "list of paths")),
        ("guard = 5", ("guard", "no such key")),
    ],
)
def test_wrong_values_in_tables(tmp_path, text, words):
    (tmp_path / "agent.toml").write_text(text)
    with pytest.raises(AgentError) as caught:
        policy.load(str(tmp_path))
    assert all(word in str(caught.value) for word in words), caught.value
