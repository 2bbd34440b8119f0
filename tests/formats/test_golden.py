"""Every Record and structure against its golden file, under both interpreters (tests/formats/samples.py says how to record)."""

import binascii
import os

from firmware.formats.record import FormatError
from tests.formats import samples
from tests.formats.structures import STRUCTURES


def test_records_agree_with_their_golden_files():
    found = samples.records()
    assert len(found) > 50
    for name, record in found.items():
        case = samples.load(name)
        assert case["rows"] == samples.rows(record), "%s: its rows are not those of the golden file" % name
        assert case["size"] == record.size, name
        for style in samples.SAMPLES:
            _check_sample(record, case["samples"][style], style)


def _check_sample(record, case: dict, style: str) -> None:
    data = binascii.unhexlify(case["bytes"])
    assert samples.plain(list(record.unpack(data))) == case["values"], (record.name, style)
    assert samples.packed(record, samples.sample(record, style)) == data, (record.name, style)
    for wrong in (data[:-1], data + b"\0"):
        try:
            record.unpack(wrong)
        except FormatError:
            continue
        assert not data, "%s: %d bytes were taken for %d" % (record.name, len(wrong), len(data))


def test_structures_read_back():
    for name, _, read in STRUCTURES:
        read(samples.load_bytes(name))


def test_no_number_is_used_again():
    recorded, present = samples.load(samples.IDS), samples.ids_case()
    for table in recorded:
        for number, name in recorded[table].items():
            assert present[table].get(number) == name, "%s %s: was %s; a number stays, retired or not" % (table, number, name)
        assert len(present[table]) == len(recorded[table]), "new numbers in %s: replace the golden file ids" % table


def test_no_golden_file_is_left_over():
    names = list(samples.records()) + [row[0] for row in STRUCTURES] + [samples.IDS]
    for file in os.listdir(samples.FOLDER):
        assert file[: file.rfind(".")] in names, "%s belongs to nothing" % file
