"""The background service: when to back up (machine), what (policy), and how it is kept running."""
