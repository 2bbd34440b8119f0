"""Stands in for firmware/main.py until it exists: shows what the board found, then echoes the serial line."""

import time


def main(arguments):
    import asyncio
    asyncio.run(_run())


async def _run():
    from hal.linux import block, system, lan
    from hal.linux.modules import ModuleTable
    from board import qemu_q35
    t = time.ticks_ms()
    print("standin up", system.read_text("/proc/uptime"))
    print(ModuleTable().load_present(qemu_q35.TABLE["modules"], qemu_q35.TABLE["parameters"]))
    print("modules", time.ticks_ms() - t, system.read_text("/proc/uptime"))
    print("ready", system.read_text("/proc/uptime"))
    from hal.loop import sleep_ms
    for i in range(100):
        d = block.devices()
        if block.flash_disk(d) and block.data_disk(d, "/ata"):
            break
        await sleep_ms(50)
    print("disks", time.ticks_ms() - t, [(x.path, x.size_bytes, x.model, x.bus, [p.kind for p in x.partitions]) for x in d])
    print("sg", [(n, system.read_text("/sys/class/scsi_generic/%s/device/type" % n), system.read_text("/sys/class/scsi_generic/%s/device/model" % n)) for n in system.names("/sys/class/scsi_generic")])
    print(lan.interfaces(), system.names("/dev"))
    print(system.read_text("/sys/class/dmi/id/product_name"), system.names("/sys/fs/pstore"))
    with open("/proc/meminfo") as f: print(f.read(200))
    print("READY")
    import sys
    while True:
        line = sys.stdin.readline().strip()
        if line == "off": system.power_off()
        try: print(eval(line))
        except Exception as e: sys.print_exception(e)
