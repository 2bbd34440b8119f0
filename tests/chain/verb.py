"""The verb `run`: the whole chain once, for real: image, boot, backup, tape, damage, restore, and every comparison."""

NEEDS = ("packages", "venv", "rootfs")


def add_arguments(parser) -> None:
    parser.add_argument(
        "--board",
        choices=("qemu", "host"),
        default="qemu",
        help="the flash image in QEMU (default), or the same firmware as a process of this machine",
    )
    parser.add_argument(
        "--source", default="", metavar="DIR", help="back up a copy of this directory (default: files of this machine)"
    )
    parser.add_argument("--report", default="", metavar="FILE", help="write the table as JSON, too")
    parser.add_argument(
        "--keep", action="store_true", help="keep disk, cartridge and trees in build/run (default: only the logs)"
    )


def run(arguments) -> int:
    from tests.chain import chain

    return chain.run(arguments.board, arguments.source, arguments.report, arguments.keep)
