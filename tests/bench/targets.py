"""What `build.py bench backup` must reach, and its tables: for the terminal and, as they are Markdown, for docs/performance.md."""

_FLOOR = "tar"
_OURS = "bobbin"

TITLES = {
    "first": "first full",
    "nothing": "nothing changed",
    "pages": "1 % of db pages changed",
    "prefix": "10 bytes put in front of a 200 MiB file",
    "second": "second client, same files",
    "restore": "full restore",
    "small": "one small file",
}

# step, figure, how the limit is meant, limit
TARGETS = (
    ("first", "wall_s", "x best peer", 0.5),
    ("nothing", "wall_s", "x best peer", 0.5),
    ("pages", "wall_s", "x best peer", 0.5),
    ("pages", "bytes_sent", "x compressed pages", 1.3),
    ("prefix", "wall_s", "x best peer", 0.5),
    ("prefix", "bytes_sent", "at most", 100_000),
    ("second", "wall_s", "x best peer", 0.6),
    ("second", "bytes_sent", "at most", 3_000_000),
    ("restore", "wall_s", "x best peer", 0.5),
    ("small", "wall_s", "at most", 0.2),
    ("", "rss_server_kb", "at most", 48_000),
    ("", "rss_agent_kb", "at most", 120_000),
)


def judge(rows: list, compressed_bytes: int) -> list:
    """[{"step", "figure", "got", "base", "limit", "met"}] for each target that there are rows for; `base` is what it is compared with."""
    found = []
    for step, figure, kind, limit in TARGETS:
        values = {row["subject"]: row[figure] for row in rows if row["step"] == step} if step else _peaks(rows, figure)
        peers = [value for name, value in values.items() if name not in (_OURS, _FLOOR)]
        base = {"at most": 1, "x best peer": min(peers, default=0), "x compressed pages": compressed_bytes}[kind]
        if _OURS in values and base:
            got = values[_OURS]
            row = {"step": step, "figure": figure, "got": got, "base": base, "limit": limit, "kind": kind}
            found.append(row | {"met": got <= limit * base})
    return found


def _peaks(rows: list, figure: str) -> dict:
    """Largest value of each subject over all steps."""
    found: dict = {}
    for row in rows:
        found[row["subject"]] = max(found.get(row["subject"], 0), row[figure])
    return found


def text(document: dict) -> str:
    """All tables."""
    rows = document["rows"]
    names = list(dict.fromkeys(row["subject"] for row in rows))
    parts = [_state(document), _steps(rows, names), _targets(document["targets"])]
    return "\n\n".join(part for part in parts if part)


def _state(document: dict) -> str:
    machine, corpus = document["machine"], document["corpus"]
    return "%d cores, %d MB, Linux %s; others used %.0f %% of a core: %s. %d files, %.0f MB; medians of %d rounds. %s." % (
        machine["cores"],
        machine["memory_mb"],
        machine["kernel"],
        100 * machine["busy_with_others"],
        machine["state"],
        corpus["files"],
        corpus["bytes"] / 1e6,
        document["runs"],
        ", ".join("%s %s" % item for item in document["versions"].items()),
    )


def _steps(rows: list, names: list) -> str:
    """One line for each step and figure."""
    lines = [_line(["step", "figure", *names]), _line(["---"] * (2 + len(names)))]
    for step, title in TITLES.items():
        values = {row["subject"]: row for row in rows if row["step"] == step}
        for label, shown in _SHOWN if values else ():
            lines.append(_line([title, label] + [shown(values[name]) if name in values else "" for name in names]))
            title = ""
    for label, figure in (("server memory at peak", "rss_server_kb"), ("agent memory at peak", "rss_agent_kb")):
        peaks = _peaks(rows, figure)
        lines.append(_line([label, "MB"] + ["%.1f" % (peaks[name] / 1000) for name in names]))
    return "\n".join(lines)


_SHOWN = (
    ("s", lambda row: "%.2f" % row["wall_s"]),
    ("processor, s: agent + server", lambda row: "%.2f + %.2f" % (row["cpu_agent_s"], row["cpu_server_s"])),
    ("sent, received, MB", lambda row: "%.2f, %.2f" % (row["bytes_sent"] / 1e6, row["bytes_received"] / 1e6)),
    ("stored, MB", lambda row: "%.2f" % (row["bytes_stored"] / 1e6)),
)


def _targets(found: list) -> str:
    lines = [_line(["target", "figure", "Bobbin", "must reach", "so", "ratio", ""]), _line(["---"] * 7)] if found else []
    for row in found:
        wanted = "%g %s" % (row["limit"], row["kind"])
        ratio = row["got"] / row["base"] if row["kind"] != "at most" else row["got"] / row["limit"]
        title = TITLES.get(row["step"], "at peak")
        most = "%g" % (row["limit"] * row["base"])
        lines.append(
            _line([title, row["figure"], "%g" % row["got"], wanted, most, "%.2f" % ratio, "pass" if row["met"] else "MISS"])
        )
    return "\n".join(lines)


def _line(cells: list) -> str:
    return "| " + " | ".join(cells) + " |"
