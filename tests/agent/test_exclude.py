"""agent_pc.fdm.exclude: what patterns mean, and that the quick look never misses what the slow one finds."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_pc.exits import AgentError
from agent_pc.fdm.exclude import Exclusions, is_cache
from agent_pc.service.policy import DEFAULT_EXCLUDE

# patterns, path, directory?, left out?
_CASES = (
    ("*.tmp", "/a/b/x.tmp", False, True),
    ("*.tmp", "/a/b.tmp/x", False, False),
    ("*.tmp", "/x.tmpl", False, False),
    ("core", "/a/core", False, True),
    ("core", "/a/score", False, False),
    ("build/", "/a/build", True, True),
    ("build/", "/a/build", False, False),
    ("/tmp/*", "/tmp", True, False),
    ("/tmp/*", "/tmp/x", False, True),
    ("/tmp/*", "/home/tmp/x", False, False),
    ("/swapfile", "/swapfile", False, True),
    ("a/b", "/x/a/b", False, True),
    ("a/b", "/x/ca/b", False, False),
    ("a/*.log", "/q/a/1.log", False, True),
    ("a/**/z", "/a/z", False, True),
    ("a/**/z", "/a/b/c/z", False, True),
    ("a/**", "/x/a/b", True, True),
    ("a/**", "/x/a", True, False),
    ("**/x", "/x", False, True),
    ("/?**", "/abc", False, True),
    ("?.txt", "/b/a.txt", False, True),
    ("?.txt", "/b/aa.txt", False, False),
    ("[a-c]x", "/bx", False, True),
    ("[!a-c]x", "/bx", False, False),
    ("[!a-c]x", "/dx", False, True),
    ("~$*", "/d/~$letter.docx", False, True),
    (".~lock.*#", "/d/.~lock.a.odt#", False, True),
    ("\\!odd", "/!odd", False, True),
    ("*.tmp|!keep.tmp", "/a/keep.tmp", False, False),
    ("*.tmp|!keep.tmp|*.tmp", "/a/keep.tmp", False, True),
    ("gr\u00fcn", "/gr\u00fcn", False, True),
)


@pytest.mark.parametrize("patterns,path,directory,wanted", _CASES)
def test_what_patterns_mean(patterns, path, directory, wanted):
    made = Exclusions(patterns.split("|"))
    assert made.excluded(os.fsencode(path), directory) is wanted
    folder, name = os.path.split(os.fsencode(path))
    assert not wanted or name in made.suspects(folder, [b"other", name])


_PART = st.text("ab*?", min_size=1, max_size=3)
_PATTERN = st.builds(
    lambda root, parts, end: root + "/".join(parts) + end,
    st.sampled_from(("", "/", "**/", "!")),
    st.lists(_PART, min_size=1, max_size=3),
    st.sampled_from(("", "/", "/**")),
)
_PATH = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=1000)
@given(st.lists(_PATTERN, max_size=5), _PATH, st.booleans())
def test_the_quick_look_misses_nothing(patterns, parts, directory):
    made = Exclusions(patterns)
    path = ("/" + "/".join(parts)).encode()
    folder, _, name = path.rpartition(b"/")
    if made.excluded(path, directory):
        assert made.suspects(folder or b"/", [name]) == [name]


@pytest.mark.parametrize("text", ("", "/", "!", "//", "[z-a]"))
def test_what_is_no_pattern(text):
    with pytest.raises(AgentError, match="exclude"):
        Exclusions([text])


def test_the_defaults_look_closer_at_few_names():
    made = Exclusions(DEFAULT_EXCLUDE)
    names = [b"file %d.%s" % (number, end) for number in range(100) for end in (b"c", b"txt", b"jpg", b"tmp")]
    assert len(made.suspects(b"/home/anna", names)) == 100


@pytest.mark.parametrize(
    "path",
    (
        "/home/a/.cache",
        "/home/a/x.tmp",
        "/tmp/x",
        "/var/tmp/x",
        "/swapfile",
        "/home/a/.local/share/Trash",
        "/C/pagefile.sys",
        "/h/.x.swp",
    ),
)
def test_defaults(path):
    assert Exclusions(DEFAULT_EXCLUDE).excluded(path.encode(), True)


def test_cachedir_tag(tmp_path):
    tag = tmp_path / "CACHEDIR.TAG"
    tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# more")
    assert is_cache(os.fsencode(tmp_path))
    tag.write_text("something else")
    assert not is_cache(os.fsencode(tmp_path))
