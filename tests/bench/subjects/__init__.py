"""The programs that `build.py bench backup` compares: Bobbin, its peers, and tar with zstd as the floor."""

from tests.bench.subjects.bobbin import Bobbin
from tests.bench.subjects.borg import Borg
from tests.bench.subjects.burp import Burp
from tests.bench.subjects.restic import Restic
from tests.bench.subjects.tar import Tar

# In the order in which a round takes them.
SUBJECTS = {"tar": Tar, "restic": Restic, "borg": Borg, "burp": Burp, "bobbin": Bobbin}
