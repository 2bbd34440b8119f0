"""show ..., backup list."""

import binascii

from firmware.console import text
from firmware.console.commands.clients import CLIENT, find, store_of
from firmware.console.commands.tape import service_of
from firmware.console.registry import Arg, Command
from firmware.core.log import stamp
from firmware.core.settings import SETTINGS, Number
from firmware.formats.catalog import VIEW_NAMES
from firmware.version import VERSION

_LOG_LINES = 20
_UNPAIRED = bytes(32)


async def _status(session, values: dict) -> dict:
    return session.appliance.status()


def _show_status(data: dict) -> list:
    rows = [
        ("appliance", "%s, Bobbin %s on %s" % (data["name"], data["version"], data["board"])),
        ("time", "%s UTC, up %s" % (data["time"], text.duration(data["uptime_s"]))),
        ("network", "%s, agents on port %d" % (data["network"].get("address") or "no address", data["lan_port"])),
        ("disk", _disk_line(data["disk"])),
        ("tape", data["tape"]),
        ("sessions", "%d agents connected, %d backups running" % (data["sessions"], data["backups"])),
    ]
    return text.pairs(rows + [("warning", warning) for warning in data["warnings"]])


def _disk_line(disk: dict) -> str:
    if "capacity_bytes" not in disk:
        return disk["state"]
    used, capacity = disk["used_bytes"], disk["capacity_bytes"]
    percent = 100 * used // max(1, capacity)
    return "%s of %s used (%d%%), %d clients, %d views" % (
        text.size(used),
        text.size(capacity),
        percent,
        disk["clients"],
        disk["views"],
    )


async def _disk(session, values: dict) -> dict:
    return await session.appliance.disk_status()


_DISK_ROWS = (
    ("state", "state", str),
    ("model", "model", str),
    ("serial", "serial", str),
    ("size", "size_bytes", text.size),
    ("store", "uuid", str),
    ("capacity", "capacity_bytes", text.size),
    ("used", "used_bytes", text.size),
    ("live", "live_bytes", text.size),
    ("segments", "segments", str),
    ("free segments", "free_segments", str),
    ("scrub", "scrub", str),
    ("damaged packs", "damaged_packs", str),
    ("clients", "clients", str),
    ("views", "views", str),
    ("next merge", "next_merge_ns", lambda time_ns: stamp(time_ns) + " UTC"),
    ("last merge", "last_merge", str),
)


def _show_disk(data: dict) -> list:
    rows = [(label, render(data[key])) for label, key, render in _DISK_ROWS if key in data]
    for row in data.get("areas", ()):
        rows.append((row["area"] + " area", "%s of %s" % (text.size(row["used_bytes"]), text.size(row["quota_bytes"]))))
    return text.pairs(rows)


async def _tape(session, values: dict) -> dict:
    service = service_of(session.appliance)
    status = await service.status()
    job = service.job
    if job is not None:
        status["job"] = {"name": job.name, "done_bytes": job.done_bytes, "total_bytes": job.total_bytes, "text": job.text}
    return {"tape": status}


# What comes first, in this order; the rest follows by name.
_TAPE_ORDER = ("drive", "reason", "serial", "loaded", "write_protected", "cartridge", "name", "contents", "kept", "mounted")


def _show_tape(data: dict) -> list:
    status = data["tape"]
    keys = [key for key in _TAPE_ORDER if key in status]
    keys += sorted([key for key in status if key not in _TAPE_ORDER and key != "job"])
    rows = [(_label(key), _plain(key, status[key])) for key in keys]
    job = status.get("job")
    if job:
        progress = "%s of %s" % (text.size(job["done_bytes"]), text.size(job["total_bytes"]))
        rows.append(("job", "%s, %s, %s" % (job["name"], progress, job["text"])))
    return text.pairs(rows)


def _label(key: str) -> str:
    return (key[: -len("_bytes")] if key.endswith("_bytes") else key).replace("_", " ")


def _plain(key: str, value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, int) and key.endswith("_bytes"):
        return text.size(value)
    if isinstance(value, dict):
        return ", ".join(["%s %s" % (name.replace("_", " "), _plain(name, value[name])) for name in sorted(value)])
    return str(value)


async def _clients(session, values: dict) -> dict:
    return {"clients": [_client(session.appliance, client) for client in store_of(session.appliance).clients()]}


def _client(appliance, client) -> dict:
    views = appliance.store.views(client.id)
    return {
        "name": client.name,
        "uuid": binascii.hexlify(client.uuid).decode(),
        "paired": client.token_hash != _UNPAIRED,
        "created": stamp(client.created_ns),
        "views": len(views),
        "newest": stamp(max([view[3] for view in views])) if views else "",
    }


def _show_clients(data: dict) -> list:
    if not data["clients"]:
        return ["no clients; `client add NAME` adds one"]
    rows = [(row["name"], "yes" if row["paired"] else "no", row["views"], row["newest"] or "-") for row in data["clients"]]
    return text.table(("client", "paired", "views", "newest (UTC)"), rows)


async def _views(session, values: dict) -> dict:
    appliance = session.appliance
    name = values.get("name")
    clients = [find(appliance, name)] if name else store_of(appliance).clients()
    rows = [_view(client, view) for client in clients for view in appliance.store.views(client.id)]
    return {"views": rows}


def _view(client, view) -> dict:
    number, _, _, time_ns, files, bytes_, stored_bytes, _, kind = view[:9]
    return {
        "client": client.name,
        "view": number,
        "time": stamp(time_ns),
        "time_ns": time_ns,
        "kind": VIEW_NAMES[kind],
        "files": files,
        "bytes": bytes_,
        "stored_bytes": stored_bytes,
    }


def _show_views(data: dict) -> list:
    if not data["views"]:
        return ["no views: nothing was backed up yet"]
    rows = [
        (
            row["client"],
            row["view"],
            row["time"],
            row["kind"],
            row["files"],
            text.size(row["bytes"]),
            text.size(row["stored_bytes"]),
        )
        for row in data["views"]
    ]
    return text.table(("client", "view", "time (UTC)", "kind", "files", "size", "stored"), rows)


async def _config(session, values: dict) -> dict:
    config = session.appliance.config
    rows = [
        {
            "name": setting.name,
            "value": config.text(setting.name),
            "default": setting.default,
            "help": setting.help,
            "expected": setting.kind.label,
        }
        for setting in SETTINGS
        if not setting.secret
    ]
    return {"settings": rows, "ignored": config.ignored}


def _show_config(data: dict) -> list:
    rows = [(row["name"], row["value"] or '""', "%s; %s" % (row["help"], row["expected"])) for row in data["settings"]]
    return text.table(("setting", "value", "meaning"), rows) + ["ignored: " + line for line in data["ignored"]]


async def _log(session, values: dict) -> dict:
    return {"lines": session.appliance.log.lines(values["lines"] or _LOG_LINES)}


async def _crash(session, values: dict) -> dict:
    crash = session.appliance.crash_log.text
    return {"lines": crash.split("\n") if crash else ["no traceback and no kernel panic was recorded"]}


def _show_lines(data: dict) -> list:
    return [part for line in data["lines"] for part in text.wrap(line)]


async def _version(session, values: dict) -> dict:
    return dict(session.appliance.versions(), version=VERSION)


def _show_pairs(data: dict) -> list:
    return text.pairs([(_label(key), _plain(key, data[key])) for key in sorted(data)])


async def _network(session, values: dict) -> dict:
    return session.appliance.network_status()


_ONE = Arg("NAME", CLIENT.kind, "only this client", optional=True)
_COUNT = Arg("LINES", Number(1, 500), "how many", optional=True)

COMMANDS = (
    Command("show status", (), "the appliance at a glance", _status, _show_status),
    Command("show disk", (), "the data disk and what it holds", _disk, _show_disk),
    Command("show tape", (), "the tape drive, its cartridge and the running job", _tape, _show_tape),
    Command("show clients", (), "the PCs that are backed up", _clients, _show_clients),
    Command("show views", (_ONE,), "the points in time that can be restored", _views, _show_views),
    Command("show config", (), "the settings", _config, _show_config),
    Command("show log", (_COUNT,), "the newest log entries", _log, _show_lines),
    Command("show crash", (), "tracebacks and kernel panics, also of earlier runs", _crash, _show_lines),
    Command("show version", (), "versions of the parts", _version, _show_pairs),
    Command("show network", (), "the LAN interface", _network, _show_pairs),
    Command("backup list", (_ONE,), "the backups of all clients", _views, _show_views),
)
