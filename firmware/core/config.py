"""The configuration: values of the settings, kept on the config area. Everybody reads it; the console changes it."""

from firmware.core.settings import BY_NAME, Invalid, find


class Config:
    """`slots` is the firmware.core.slots.Slots of the settings area, or None to forget everything at power-off.

    `defaults` {name: text} are the board's, in place of the table's.
    """

    def __init__(self, slots, defaults=None):
        self._slots = slots
        self._defaults = defaults or {}
        self._texts = {}
        self._watchers = {}
        self.ignored = []

    async def load(self) -> None:
        """Read the stored values. Raises HalError if both copies are unreadable.

        Names and values that this version does not allow are kept in `ignored` as texts and their defaults count.
        """
        content = await self._slots.load() if self._slots else None
        self._texts, self.ignored = {}, []
        for line in (content or b"").decode().split("\n"):
            name, _, text = line.partition("=")
            try:
                if line:
                    find(name).parse(text)
                    self._texts[name] = text
            except Invalid as error:
                self.ignored.append(str(error))

    def text(self, name: str) -> str:
        """The value as it is typed. Raises Invalid for an unknown name."""
        setting = find(name)
        return self._texts.get(name, self._defaults.get(name, setting.default))

    def get(self, name: str):
        """The value as the setting's type gives it. Raises Invalid for an unknown name."""
        return BY_NAME[name].parse(self.text(name)) if name in BY_NAME else find(name)

    async def set(self, name: str, text: str) -> None:
        """Check and store; durable on return, a power cut leaves the old value or the new. Raises Invalid, HalError."""
        find(name).parse(text)
        changed = dict(self._texts)
        changed[name] = text
        if self._slots:
            lines = ["%s=%s\n" % (key, changed[key]) for key in sorted(changed)]
            await self._slots.save("".join(lines).encode())
        self._texts = changed
        for watcher in self._watchers.get(name, ()):
            watcher()

    def watch(self, name: str, watcher) -> None:
        """Call `watcher()` after each change of the setting; it must not block."""
        self._watchers.setdefault(find(name).name, []).append(watcher)
