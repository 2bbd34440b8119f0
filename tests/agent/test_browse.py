"""`ls`, `find` and `diff` against the real door, and what they ask of it: requests are counted."""

import os
import shutil

import pytest

from agent_pc import state
from agent_pc.restore import job
from agent_pc.session import Session
from firmware.formats import message
from tests.agent.rig import snapshot, told


@pytest.fixture
def agent(appliance, tmp_path, request):
    return appliance.agent(request.node.name[:40], tmp_path)


class Counted:
    """A session that counts its requests by name."""

    def __init__(self, agent):
        self.session = Session.open(state.load(agent.directory))
        self.asked: dict = {}
        send = self.session.channel.send

        def counted(type_, request, *parts):
            name = message.NAMES[type_]
            self.asked[name] = self.asked.get(name, 0) + 1
            send(type_, request, *parts)

        self.session.channel.send = counted

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()


def _many(folder) -> None:
    """5,000 files in 100 directories."""
    for number in range(5000):
        path = folder / f"{number % 10}" / f"{number // 10 % 10}" / f"file {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"contents of {number}")


def test_few_requests_list_5000_files_and_bring_one_back(agent, tmp_path, capsys):
    source = tmp_path / "source"
    _many(source)
    assert agent.run("backup", source) == 0
    from agent_pc import listing

    with Counted(agent) as counted:
        found = listing.ls(counted.session, None, os.fsencode(source), "disk", recursive=True)
        assert len([row for row in found["entries"] if row["type"] == "file"]) == 5000
        depth = len(source.parts)
        # One for each component of the path and for each level below it, at most.
        assert counted.asked["ITEMS_GET"] <= depth + 2 and counted.asked["VIEWS_GET"] == 1
        assert sum(counted.asked.values()) <= depth + 3
    with Counted(agent) as counted:
        path = source / "3" / "4" / "file 43.txt"
        result = job.restore(counted.session, [os.fsencode(path)], None, os.fsencode(tmp_path / "out"))
        assert result.files == 1 and (tmp_path / "out" / str(path)[1:]).read_text() == "contents of 43"
        # Nodes on the way, whose the backups are, the file object, its chunks.
        assert sum(counted.asked.values()) <= 1 + (depth + 2) + 3, counted.asked


def test_find_across_views_finds_what_is_deleted(agent, tmp_path, capsys):
    source, other = tmp_path / "source", tmp_path / "other"
    source.mkdir()
    other.mkdir()
    (source / "letter.doc").write_text("one")
    (source / "stays.doc").write_text("stays")
    (source / "sub").mkdir()
    (source / "sub" / "Big.DOC").write_bytes(bytes(3000))
    (other / "else.doc").write_text("else")
    assert agent.run("backup", source, other) == 0
    (source / "letter.doc").write_text("two, longer")
    assert agent.run("backup", source) == 0  # `other` is not part of this backup: nothing of it is deleted
    os.unlink(source / "letter.doc")
    shutil.rmtree(source / "sub")
    assert agent.run("backup", source) == 0

    def names(*arguments) -> dict:
        status, found = told(capsys, agent, "find", *arguments)
        assert status == 0 and found["failed"] == []
        return {
            os.path.relpath(row["path"], tmp_path): (row["first_view"], row["last_view"], row["versions"], row["deleted"])
            for row in found["found"]
        }

    letter, big = {"source/letter.doc": (2, 2, 2, True)}, {"source/sub/Big.DOC": (1, 2, 1, True)}
    stays, other_doc = {"source/stays.doc": (1, 3, 1, False)}, {"other/else.doc": (1, 1, 1, False)}
    assert names("*.doc") == {**letter, **stays, **other_doc}
    assert names("*.doc", "--deleted") == letter
    assert names("*.doc", "--deleted", "--ignore-case") == {**letter, **big}
    assert names("--under", source / "sub", "--type", "file") == big
    assert names("*/sub/*") == big
    assert names("--larger", "2k", "--smaller", "1M", "--type", "file") == big
    assert names("*.doc", "--newer", "1 hour ago", "--view", 1, "--under", source) == {
        "source/letter.doc": (1, 1, 1, False),
        "source/stays.doc": (1, 1, 1, False),
    }
    assert names("--older", "1 hour ago") == {}
    status, found = told(capsys, agent, "find", "letter.doc", "--versions")
    assert [(row["first_view"], row["last_view"], row["size"]) for row in found["found"]] == [(1, 1, 3), (2, 2, 11)]
    assert agent.run("find", "letter*") == 0
    assert "view 2, 2 versions, deleted" in capsys.readouterr().out
    # What find names comes back.
    assert agent.run("restore", source / "letter.doc", "--view", 2, "--to", tmp_path / "out") == 0
    assert (tmp_path / "out" / str(source)[1:] / "letter.doc").read_text() == "two, longer"


def test_diff_of_two_views(agent, tmp_path, capsys):
    source = tmp_path / "source"
    _many(source)
    assert agent.run("backup", source) == 0
    (source / "1" / "2" / "new").write_text("new")
    os.unlink(source / "3" / "4" / "file 43.txt")
    os.chmod(source / "5" / "6" / "file 65.txt", 0o600)
    (source / "7" / "8" / "file 87.txt").write_text("other")
    assert agent.run("backup", source) == 0
    status, found = told(capsys, agent, "diff", 1, 2, "--path", source)
    assert status == 0 and (found["old"], found["new"]) == (1, 2)
    changes = {os.path.relpath(row["path"], source): row["change"] for row in found["changes"]}
    assert changes == {
        "1/2/new": "added",
        "3/4/file 43.txt": "removed",
        "5/6/file 65.txt": "metadata",
        "7/8/file 87.txt": "changed",
    }
    assert agent.run("diff", 2, "1", "--path", source) == 0
    out = capsys.readouterr().out
    assert f"- {source}/1/2/new  3 bytes" in out and f"M {source}/7/8/file 87.txt  5 -> 14 bytes" in out
    assert told(capsys, agent, "diff", "now", "--path", source)[1]["changes"] == []
    assert told(capsys, agent, "diff", 1, "--path", "/nosuch")[0] == 8
    from agent_pc import listing

    with Counted(agent) as counted:
        listing.diff(counted.session, 1, 2, os.fsencode(source), "disk")
        assert sum(counted.asked.values()) <= 1 + len(source.parts) + 3


def test_restore_of_yesterday(agent, tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("x")
    assert agent.run("backup", source) == 0
    assert agent.run("restore", source, "--view", "yesterday 14:00", "--to", tmp_path / "out") == 8
    assert "the first one is of" in capsys.readouterr().err
    assert agent.run("restore", source, "--view", "now", "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{source}") == snapshot(source)


def test_a_file_deleted_before_views_were_merged_comes_back(appliance, agent, tmp_path, capsys):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "stays.doc").write_text("stays")
    (source / "sub" / "letter.doc").write_text("the letter")
    assert agent.run("backup", source) == 0
    shutil.rmtree(source / "sub")
    assert agent.run("backup", source) == 0
    assert appliance.ask(f"fold {os.path.basename(agent.directory)} 1 2") == "done"
    status, found = told(capsys, agent, "find", "*.doc", "--deleted")
    assert status == 0 and [(row["path"], row["last_view"]) for row in found["found"]] == [(f"{source}/sub/letter.doc", 2)]
    assert agent.run("restore", source / "sub" / "letter.doc", "--view", 2, "--to", tmp_path / "out") == 0
    assert (tmp_path / "out" / str(source)[1:] / "sub" / "letter.doc").read_text() == "the letter"
