"""First module that PID 1 runs in the image (`-m init`). Not used anywhere else. Arguments are those of `firmware.main`.

An uncaught exception is written to the kernel log as well: PID 1 then ends, the kernel panics, and what the kernel log
holds survives in EFI variables, where the next boot finds it.
"""

import io
import sys

sys.path[:] = ["/lib/bobbin", ".frozen"]


def _log(error: BaseException) -> None:
    text = io.StringIO()
    sys.print_exception(error, text)
    try:
        with open("/dev/kmsg", "w") as kernel_log:
            for line in text.getvalue().split("\n"):
                # MicroPython does not buffer: one write is one record. <2> is KERN_CRIT, shown even when "quiet".
                kernel_log.write("<2>bobbin: " + line[:200] + "\n")
    except OSError as problem:
        print("no kernel log:", problem)


def run() -> None:
    try:
        from hal.errors import HalError
        from hal.linux import system
        from hal.linux.modules import ModuleTable

        system.mount_kernel_filesystems()
        # First of all modules: whatever happens from here on is to be found at the next boot.
        try:
            ModuleTable().load("efi_pstore")
        except HalError as error:
            print("crash log:", error)
        from firmware import main

        main.main(sys.argv[1:])
    except BaseException as error:
        _log(error)
        raise


run()
