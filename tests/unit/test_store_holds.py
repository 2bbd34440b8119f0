"""firmware/store/holds: counts stay right while its dictionary is made anew again and again."""

from firmware.store.holds import Holds


def test_counts_survive_renewal():
    holds = Holds()
    for item in (1, 2, 2):
        holds.add(item)
    tables = []
    for start in range(10, 5000, 500):
        for item in range(start, start + 500):
            holds.add(item)
        for item in range(start, start + 500):
            assert item in holds
            holds.drop(item)
            assert item not in holds
        if not any([table is holds._counts for table in tables]):
            tables.append(holds._counts)
    assert len(tables) > 5, "a dictionary with that many deletions is slow under MicroPython"
    assert 1 in holds and 2 in holds
    holds.drop(2)
    assert 2 in holds
    holds.drop(2)
    assert 2 not in holds
