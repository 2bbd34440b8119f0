"""Which cartridge may be written over, and what the refusal says. Used by the tape service."""

from firmware.core.log import stamp
from firmware.formats import tape as form
from firmware.tape import label as labels
from hal.errors import WriteProtected


def is_protected(label, now_ns: int) -> bool:
    """Whether its image is to be kept: an archive, or not expired."""
    return label.contents != form.EMPTY and (label.flags & form.ARCHIVE != 0 or label.expires_ns > now_ns)


def _kept(label) -> str:
    if label.flags & form.ARCHIVE:
        return "tape %s is an archive tape" % label.name
    return "tape %s holds an image of %s that is kept until %s" % (label.name, stamp(label.written_ns), stamp(label.expires_ns))


def check_label(found, name: str, now_ns: int) -> None:
    """Raises WriteProtected unless the cartridge `found` may be labelled `name` without force."""
    if found.kind == labels.FOREIGN:
        raise WriteProtected("the drive holds %s: not touched; `tape label %s force` erases it" % (found.text, name))
    if found.label and is_protected(found.label, now_ns):
        raise WriteProtected("%s; `tape label %s force` erases it" % (_kept(found.label), name))


def check_backup(found, appliance: bytes, now_ns: int) -> None:
    """Raises WriteProtected unless a copy of the store `appliance` may go onto the cartridge `found`."""
    if found.kind == labels.FOREIGN:
        raise WriteProtected(
            "the drive holds %s: not touched; insert another, or take it over with `tape label NAME force`" % found.text
        )
    label = found.label
    if label and label.appliance not in (labels.NO_UUID, appliance):
        raise WriteProtected("tape %s was written by %s from another disk: not touched; insert another, or take it over with "
                             "`tape label %s force`" % (label.name, label.owner, label.name))  # fmt: skip
    if label and is_protected(label, now_ns):
        # Also where its copy was cut: whether an image is complete, only reading its end would tell.
        raise WriteProtected(
            "%s: not touched; insert another, or give it free with `tape label %s force`" % (_kept(label), label.name)
        )
