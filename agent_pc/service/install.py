"""`bobbin agent install`: what makes the system start the agent. A systemd unit on Linux; a file and notes for Windows and macOS.

The unit may read everything and write only the agent's state directory.
"""

import os
import subprocess
import sys
from html import escape

from agent_pc.exits import AgentError
from agent_pc.service import guards

_UNIT = """\
[Unit]
Description=Bobbin backup agent
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=60
KillSignal=SIGTERM
TimeoutStopSec=90
Nice=10
IOSchedulingClass=idle
CPUSchedulingPolicy=batch
NoNewPrivileges=yes
{hardening}
[Install]
WantedBy={target}
"""

# Not in a user's unit: a user's manager may not set up namespaces everywhere.
_SYSTEM = """\
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_ADMIN
ProtectSystem=full
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
"""

_TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Bobbin backup agent</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals><Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal></Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>7</Priority>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author"><Exec><Command>{program}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
"""

_PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
  <key>Label</key><string>org.bobbin.agent</string>
  <key>ProgramArguments</key><array>{words}</array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>ProcessType</key><string>Background</string>
  <key>LowPriorityIO</key><true/>
  <key>Nice</key><integer>10</integer>
</dict></plist>
"""


def command(state: str) -> list:
    """Words that start the agent, with this Python."""
    return [sys.executable, "-m", "agent_pc.cli", "agent", "run", "--state", os.path.abspath(state)]


def _quoted(word: str) -> str:
    """One word of ExecStart (systemd.service, "Command lines")."""
    word = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{word}"' if any(not (char.isalnum() or char in "/._-+%$") for char in word) else word


def systemd(state: str, user: bool) -> str:
    """The unit file."""
    hardening = "" if user else _SYSTEM.format(state=_quoted(os.path.abspath(state)))
    return _UNIT.format(
        command=" ".join(map(_quoted, command(state))),
        hardening=hardening,
        target="default.target" if user else "multi-user.target",
    )


def windows(state: str, user: bool) -> str:
    """Task Scheduler XML."""
    words = command(state)
    return _TASK.format(
        program=escape(words[0], quote=False), arguments=escape(subprocess.list2cmdline(words[1:]), quote=False)
    )


def macos(state: str, user: bool) -> str:
    """launchd property list."""
    return _PLIST.format(words="".join(f"<string>{escape(word, quote=False)}</string>" for word in command(state)))


# platform -> (what makes the file, file for the system, file for one user, what to do with it)
PLATFORMS = {
    "linux": (
        systemd,
        "/etc/systemd/system/bobbin-agent.service",
        "~/.config/systemd/user/bobbin-agent.service",
        ("systemctl {user}daemon-reload", "systemctl {user}enable --now bobbin-agent", "journalctl {user}-fu bobbin-agent"),
    ),
    "windows": (
        windows,
        "bobbin-agent.xml",
        "bobbin-agent.xml",
        (
            "save it in UTF-16 and register it as administrator: schtasks /Create /TN Bobbin /XML bobbin-agent.xml",
            "schtasks /Run /TN Bobbin",
            "the agent itself does not run on Windows yet: it needs Linux",
        ),
    ),
    "macos": (
        macos,
        "/Library/LaunchDaemons/org.bobbin.agent.plist",
        "~/Library/LaunchAgents/org.bobbin.agent.plist",
        (
            "launchctl bootstrap {domain} {path}",
            "give the Python that runs it Full Disk Access in System Settings, Privacy & Security",
            "the agent is not tried on macOS yet: it needs Linux",
        ),
    ),
}


def install(state: str, platform: str, user: bool, printed: bool, mounts: list | tuple = ()) -> tuple:
    """(document, lines). Writes the file unless `printed`, or unless it is for another platform than this one.

    `mounts`: directories that are to be guarded; on Linux each gets a unit beside the agent's.
    """
    make, system_path, user_path, notes = PLATFORMS[platform]
    path = os.path.expanduser(user_path) if user else system_path
    text = make(state, user)
    domain = f"gui/{os.getuid()}" if user else "system"
    steps = [note.format(user="--user " if user else "", domain=domain, path=path) for note in notes]
    beside = guards.units(state, list(mounts), _quoted, user) if platform == "linux" else []
    files = [(path, text)] + [(os.path.join(os.path.dirname(path), name), unit) for name, unit in beside]
    steps += [f"systemctl {'--user ' if user else ''}enable --now '{name}'" for name, _ in beside]
    here = sys.platform.startswith({"linux": "linux", "macos": "darwin", "windows": "win"}[platform])
    told = [{"path": name, "text": unit} for name, unit in files[1:]]
    document = {"path": path, "text": text, "steps": steps, "written": not printed and here, "guards": told}
    if not document["written"]:
        shown = [line for name, content in files for line in (content, f"# for {name}")]
        return document, [*shown[:-1], shown[-1] + "; then:", *[f"# {step}" for step in steps]]
    for name, content in files:
        _write(name, content)
    return document, [f"wrote {', '.join(name for name, _ in files)}; now:", *[f"  {step}" for step in steps]]


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise AgentError("STATE", f"{path}: cannot write: {error.strerror}; --print shows the file") from None
