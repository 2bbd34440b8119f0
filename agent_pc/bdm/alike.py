"""New chunks beside the old ones of the same places. Used by bdm.difference and fda.difference."""


def alike(new: bytes, old: bytes, size: int) -> list:
    """[whether row k of `new` is that of `old`]; rows of `size` bytes."""
    count = len(new) // size
    if new == old:
        return [True] * count
    return [new[at : at + size] == old[at : at + size] for at in range(0, len(new), size)]


def stretches(same: list):
    """Yield (first, end, whether they are the same) of chunks that follow each other."""
    first, count = 0, len(same)
    while first < count:
        end = first + 1
        while end < count and same[end] == same[first]:
            end += 1
        yield first, end, same[first]
        first = end
