"""`build.py bench backup`: the same files through Bobbin and its peers, step by step, every subject in turn, several rounds.

The page cache is warm (the files are read once before the first round) and everything is written back before each measurement.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
from dataclasses import asdict, fields
from pathlib import Path

from image.paths import BUILD, BuildError
from tests.bench import fresh, machine, meter, targets, traffic
from tests.bench.corpus import BytesInFront, Corpus, PagesChanged
from tests.bench.subjects import SUBJECTS

FOLDER = BUILD / "bench"
# step, what is done before it, what is measured
STEPS = (
    ("first", None, lambda run: run.backup(0)),
    ("nothing", None, lambda run: run.backup(0)),
    ("pages", PagesChanged, lambda run: run.backup(0)),
    ("prefix", BytesInFront, lambda run: run.backup(0)),
    ("second", None, lambda run: run.backup(1)),
    ("restore", None, lambda run: run.restore(run.corpus.folder)),
    ("small", None, lambda run: run.restore(run.small)),
)
_BASE = "first"  # the other steps need it


class Round:
    """One subject once through the steps."""

    def __init__(self, name: str, corpus: Corpus):
        self.corpus = corpus
        self.small = corpus.small_file()
        self._folder = FOLDER / name
        self._log = FOLDER / (name + ".log")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._subject = SUBJECTS[name](self._folder)

    def run(self, steps: list, found, changes: dict) -> None:
        """`found(step, Figures)` for each of the `steps`; `changes` takes what a step changed."""
        taken = [row for row in STEPS if row[0] in steps + [_BASE] and row[0] in (self._subject.steps or [row[0]])]
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            stack.callback(self._subject.stop)
            self._subject.start()
            for step, change, work in taken:
                if change:
                    changes[step] = stack.enter_context(change(self.corpus))
                figures = work(self)
                if step in steps:
                    found(step, figures)

    def backup(self, client: int) -> meter.Figures:
        return self._measure(self._subject.backup(self.corpus.folder, client))

    def restore(self, path: Path) -> meter.Figures:
        with fresh.filesystem(self._folder, self.corpus.total()[1]) as target:
            figures = self._measure(self._subject.restore(path, target))
            _compare(path, self._subject.restored(path, target))
        return figures

    def _measure(self, command: list) -> meter.Figures:
        subject = self._subject
        environment = dict(os.environ, **subject.environment)
        return meter.measure(command, subject.servers(), subject.store(), self._log, env=environment, cwd=self._folder)


def _compare(expected: Path, found: Path) -> None:
    """Raises BuildError unless everything came back."""
    done = os.spawnlp(os.P_WAIT, "diff", "diff", "-rq", "--no-dereference", str(expected), str(found))
    if done:
        raise BuildError("%s did not come back as it was, see above" % expected)


def run(scale: float, runs: int, subjects: list, steps: list, report: str) -> int:
    """Exit status: 1 if a subject failed; the others' figures are there all the same."""
    for name in subjects:
        SUBJECTS[name].install()
    traffic.enter()
    fresh.enter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(FOLDER / ("corpus-%g" % scale), scale)
    corpus.build()
    _warm(corpus.folder)
    load = machine.Load()
    found, changes, failed = _rounds(runs, subjects, steps, corpus)
    rows = _rows(found)
    compressed = changes["pages"].compressed_bytes if "pages" in changes else 0
    document = {
        "machine": machine.describe() | load.describe(),
        "corpus": dict(zip(("files", "bytes"), corpus.total())) | {"scale": scale, "changed_pages_zstd_bytes": compressed},
        "versions": {name: SUBJECTS[name](FOLDER).version() for name in subjects},
        "runs": runs,
        "rows": rows,
        "targets": targets.judge(rows, compressed),
        "failed": failed,
    }
    print("\n" + targets.text(document))
    if report:
        Path(report).write_text(json.dumps(document, indent=1) + "\n")
    return 1 if failed else 0


def _rounds(runs: int, subjects: list, steps: list, corpus: Corpus) -> tuple:
    """({(step, subject): [Figures]}, {step: its change}, {subject: what went wrong})."""
    found: dict = {}
    changes: dict = {}
    failed: dict = {}
    for number in range(runs):
        for name in subjects:

            def keep(step, figures, name=name, number=number):
                found.setdefault((step, name), []).append(figures)
                _tell(number, name, step, figures)

            try:
                Round(name, corpus).run(steps, keep, changes)
            except BuildError as error:
                failed[name] = str(error)
                print("round %d  %s: %s" % (number + 1, name, error), file=sys.stderr)
    return found, changes, failed


def _warm(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def _tell(number: int, name: str, step: str, figures: meter.Figures) -> None:
    print(
        "round %d  %-8s %-8s %7.2f s   cpu: agent %6.2f s, server %6.2f s   sent %12d   stored %12d   kB: agent %7d, server %7d"
        % (
            number + 1,
            name,
            step,
            figures.wall_s,
            figures.cpu_agent_s,
            figures.cpu_server_s,
            figures.bytes_sent,
            figures.bytes_stored,
            figures.rss_agent_kb,
            figures.rss_server_kb,
        ),
        flush=True,
    )


def _rows(found: dict) -> list:
    """Medians, in the order of STEPS."""
    rows = []
    for step, _, _ in STEPS:
        for name in SUBJECTS:
            samples = [asdict(figures) for figures in found.get((step, name), [])]
            if samples:
                row = {
                    field.name: statistics.median(sample[field.name] for sample in samples) for field in fields(meter.Figures)
                }
                row["cpu_s"] = row["cpu_agent_s"] + row["cpu_server_s"]
                rounded = {key: round(value, 3) if key.endswith("_s") else int(value) for key, value in row.items()}
                rows.append({"step": step, "subject": name} | rounded)
    return rows
