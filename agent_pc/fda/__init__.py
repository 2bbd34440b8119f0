"""File delta accelerator (FDA): which regions of a file were written since its last backup, so that only those are read."""
