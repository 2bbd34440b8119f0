"""SSC-3 tape drives over any `hal.scsi.ScsiTransport`: `hal.ssc.drive.SscTape` is the driver, the rest are its parts."""
