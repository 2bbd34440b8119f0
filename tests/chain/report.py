"""What `build.py run` has done: steps with times and bytes, one table, one JSON file."""

import json
import time


class StepFailed(Exception):
    """A comparison did not hold, or the appliance did not do what it said; one line."""


class Report:
    """Rows in order. `image` and `boot_s` are filled in by the steps."""

    def __init__(self):
        self.image = {}
        self.boot_s = None
        self.steps = []

    def step(self, name: str, work) -> None:
        """Run `work(row)`; it may set row["bytes_sent"], ["bytes_stored"], ["result"]. Raises what it raises, after noting it."""
        print("\n== %d. %s" % (len(self.steps) + 1, name), flush=True)
        row = {"name": name, "ok": False, "seconds": 0.0, "bytes_sent": 0, "bytes_stored": 0, "result": ""}
        self.steps.append(row)
        began = time.monotonic()
        try:
            work(row)
            row["ok"] = True
        except Exception as error:
            row["result"] = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise
        finally:
            row["seconds"] = round(time.monotonic() - began, 2)

    def table(self) -> str:
        lines = ["%-22s %8s %14s %14s  %s" % ("step", "time", "bytes sent", "bytes stored", "result"), "-" * 100]
        for row in self.steps:
            lines.append(
                "%-22s %6.1f s %14s %14s  %s"
                % (
                    row["name"],
                    row["seconds"],
                    _number(row["bytes_sent"]),
                    _number(row["bytes_stored"]),
                    ("ok" if row["ok"] else "FAILED") + (": " + row["result"] if row["result"] else ""),
                )
            )
        total = sum(row["seconds"] for row in self.steps)
        return "\n".join(lines + ["-" * 100, "%-22s %6.1f s" % ("all", total)])

    def save(self, path: str) -> None:
        steps = [
            {key: row[key] for key in ("name", "ok", "seconds", "bytes_sent", "bytes_stored", "result")} for row in self.steps
        ]
        with open(path, "w") as out:
            json.dump({"image": self.image, "boot_s": self.boot_s, "steps": steps}, out, indent=2)
            out.write("\n")


def _number(value: int) -> str:
    return "{:,}".format(value) if value else "-"
