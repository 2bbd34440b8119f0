"""Contract of hal.watchdog.Watchdog: `CASES` take (watchdog, state): `state()` gives (timeout_s, feeds) of the hardware,
timeout 0 when disarmed. The hardware has at most 60 s."""


async def arms_feeds_and_disarms(watchdog, state) -> None:
    assert state() == (0, 0)
    assert watchdog.start(30) == 30
    assert state() == (30, 0)
    watchdog.feed()
    watchdog.feed()
    assert state() == (30, 2)
    assert watchdog.start(10) == 10
    watchdog.stop()
    assert state()[0] == 0


async def hardware_chooses(watchdog, state) -> None:
    assert watchdog.start(1000) == 60
    assert state() == (60, 0)


async def harmless_when_disarmed(watchdog, state) -> None:
    watchdog.feed()
    watchdog.stop()
    watchdog.start(5)
    watchdog.stop()
    watchdog.stop()
    watchdog.feed()
    assert state() == (0, 0)


CASES = {
    "arms_feeds_and_disarms": arms_feeds_and_disarms,
    "hardware_chooses": hardware_chooses,
    "harmless_when_disarmed": harmless_when_disarmed,
}
