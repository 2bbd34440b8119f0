"""The corpus is what its seed says, and a change is taken back without a trace."""

import hashlib

from tests.bench.corpus import PAGE_BYTES, PREFIX, BytesInFront, Corpus, PagesChanged

_SCALE = 0.004


def _state(corpus) -> dict:
    """Contents, size and time of every file."""
    return {
        str(path.relative_to(corpus.folder)): (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns)
        for path in corpus.folder.rglob("*")
        if path.is_file()
    }


def test_same_seed_same_files(tmp_path):
    corpora = [Corpus(tmp_path / name, _SCALE) for name in ("one", "two")]
    for corpus in corpora:
        corpus.build()
    first, second = map(_state, corpora)
    assert first == second
    assert len(first) == 159 + 20 + 1  # shares of 160, rounded
    assert abs(corpora[0].total()[1] - 3060 * _SCALE * (1 << 20)) < 1 << 16


def test_changes_are_taken_back(tmp_path):
    corpus = Corpus(tmp_path, _SCALE)
    corpus.build()
    before = _state(corpus)
    old = corpus.database.read_bytes()
    with PagesChanged(corpus) as pages, BytesInFront(corpus):
        new = corpus.database.read_bytes()
        changed = sum(new[at : at + PAGE_BYTES] != old[at : at + PAGE_BYTES] for at in range(0, len(new), PAGE_BYTES))
        assert len(new) == len(old) and changed == len(old) // PAGE_BYTES // 100
        assert 0 < pages.compressed_bytes < changed * PAGE_BYTES
        assert corpus.large.read_bytes().startswith(PREFIX)
        after = _state(corpus)
        assert sorted(name for name in after if after[name] != before[name]) == ["db/base.dat", "office/archive.mbox"]
    assert _state(corpus) == before


def test_spoilt_files_are_made_again(tmp_path):
    corpus = Corpus(tmp_path, _SCALE)
    corpus.build()
    before = _state(corpus)
    corpus.spoil()
    corpus.large.write_bytes(b"cut off in the middle of a change")
    corpus.build()
    assert _state(corpus) == before
