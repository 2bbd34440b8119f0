"""The verb `image`: build the flash image build/bobbin-VERSION.img."""

from image import image

NEEDS = ("packages", "venv", "rootfs")


def add_arguments(parser) -> None:
    pass


def run(arguments) -> int:
    built = image.build()
    print("%s\n  %d bytes of content, SHA-256 %s" % (built["path"], built["bytes"], built["sha256"]))
    return 0
