"""Pages made from tables are what the tables say now, and leave no format out."""

import importlib.util
from pathlib import Path

import pytest

from tests.formats import samples

_DOCS = Path(__file__).resolve().parents[2] / "docs"


def _generator():
    spec = importlib.util.spec_from_file_location("generate", _DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_PAGES = _generator().PAGES


@pytest.mark.parametrize("file, make", _PAGES, ids=[page[0] for page in _PAGES])
def test_page_is_current(file, make):
    assert (_DOCS / file).read_text() == make(), "run `python3 docs/generate.py` and commit docs/%s" % file


def test_every_record_is_on_the_page():
    page = _generator().formats_page()
    for name in samples.records():
        assert "### %s\n" % name in page or " %s (from the " % name[len("wire.") :] in page, name
