"""What a bare PC must be told to become this one again: disks, filesystems, boot, packages."""
