"""agent.json: what the background service did last and does next. Written by runner.py, shown by `bobbin status`."""

import json
import os

from agent_pc.views.choose import stamp

FILE = "agent.json"


def load(directory: str) -> dict:
    """What the agent said of itself last, {} if it never ran."""
    try:
        with open(os.path.join(directory, FILE)) as file:
            content = json.load(file)
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def status(directory: str) -> tuple:
    """(document, lines) about the agent of this state directory."""
    found = load(directory)
    if not found:
        return None, ["agent: has not run yet; see bobbin agent --help"]
    last, after = found.get("last") or {}, found.get("next")
    lines = [f"agent: {found.get('state')}: {found.get('reason')}" + (f"; looks again {after}" if after else "")]
    if last:
        when = stamp(int(float((last.get("stamp") or {}).get("wall_s", 0)) * 1e9))
        lines.append(f"agent: last backup {when}: view {last.get('view')}, {last.get('files')} files ({last.get('outcome')})")
    return found, lines
