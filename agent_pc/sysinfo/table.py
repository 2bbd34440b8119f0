"""What is collected, as a table: files that are read and commands that are run. Used by collect.py.

Nothing here may change while the PC does not: a view keeps one copy for as long as it stays the same.
"""

from agent_pc.sysinfo import debian

FILE = "file"  # the first path that exists
FILES = "files"  # every file that fits the pattern
COMMAND = "command"  # words
FIRST = "first"  # the first of several commands that is installed
DEBIAN = "debian"  # a function of debian.py; on other systems the first of several commands
DISKS = "disks"  # a command once for each disk, {disk} being its device
EXISTS = "exists"  # whether the path does

_BLOCK = "NAME,TYPE,SIZE,FSTYPE,FSVER,LABEL,UUID,PTTYPE,PTUUID,PARTTYPE,PARTLABEL,PARTUUID,PARTFLAGS,MOUNTPOINT,LOG-SEC,PHY-SEC,ROTA,MODEL,SERIAL"
_LVM = ("--reportformat", "json", "--units", "b", "--readonly")

# name, kind, what
ROWS = (
    ("system", FILE, ("/etc/os-release", "/usr/lib/os-release")),
    ("host name", FILE, ("/etc/hostname",)),
    ("machine", FILES, "/sys/class/dmi/id/*_name"),
    ("machine vendor", FILES, "/sys/class/dmi/id/*_vendor"),
    ("kernel", FILE, ("/proc/version",)),
    ("kernel command line", FILE, ("/proc/cmdline",)),
    ("boot by UEFI", EXISTS, "/sys/firmware/efi"),
    ("boot entries", COMMAND, ("efibootmgr", "-v")),
    ("boot loader", FILES, "/etc/default/grub"),
    ("boot loader entries", FILES, "/boot/loader/entries/*.conf"),
    ("block devices", COMMAND, ("lsblk", "--json", "--bytes", "--exclude", "1,7", "--output", _BLOCK)),
    ("partition tables", DISKS, ("sfdisk", "--dump", "{disk}")),
    ("file systems to mount", FILE, ("/etc/fstab",)),
    ("encrypted devices", FILE, ("/etc/crypttab",)),
    ("mounted file systems", FILE, ("/proc/self/mounts",)),
    ("LVM physical volumes", COMMAND, ("pvs", *_LVM, "-o", "pv_name,pv_uuid,vg_name,pv_size,pe_start")),
    ("LVM volume groups", COMMAND, ("vgs", *_LVM, "-o", "vg_name,vg_uuid,vg_extent_size,vg_size")),
    (
        "LVM logical volumes",
        COMMAND,
        ("lvs", *_LVM, "-a", "-o", "lv_name,vg_name,lv_uuid,lv_attr,lv_size,segtype,stripes,devices"),
    ),
    ("LVM metadata", FILES, "/etc/lvm/backup/*"),
    ("RAID", FILE, ("/proc/mdstat",)),
    ("RAID arrays", COMMAND, ("mdadm", "--detail", "--scan", "--verbose")),
    ("RAID configuration", FILE, ("/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")),
    ("btrfs", COMMAND, ("btrfs", "filesystem", "show", "--raw")),
    ("ZFS", COMMAND, ("zpool", "status", "-P")),
    (
        "packages",
        DEBIAN,
        (debian.packages, ("rpm", "--query", "--all"), ("pacman", "--query"), ("apk", "info", "-v")),
    ),
    ("packages that were asked for", DEBIAN, (debian.wanted, ("dnf", "repoquery", "--userinstalled"))),
    ("package sources", FILES, "/etc/apt/sources.list*"),
    ("flatpaks", COMMAND, ("flatpak", "list", "--columns=application,version,origin")),
    ("snaps", COMMAND, ("snap", "list")),
)

# What changes when something above does: contents of the first, times of the second.
WATCHED = ("/proc/partitions", "/proc/mdstat", "/proc/self/mounts", "/etc/fstab", "/proc/sys/kernel/random/boot_id")
TOUCHED = ("/var/lib/dpkg/status", "/var/lib/rpm", "/var/lib/pacman/local", "/lib/apk/db/installed", "/etc/lvm/backup", "/boot")
