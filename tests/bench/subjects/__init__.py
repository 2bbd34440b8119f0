"""The programs that `build.py bench backup` compares: Bobbin, its peers, and tar with zstd as the floor."""

from tests.bench.subjects.bobbin import Bobbin

# In the order in which a round takes them.
SUBJECTS = {"bobbin": Bobbin}
