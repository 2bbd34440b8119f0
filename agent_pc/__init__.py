"""The agent: what runs on a PC. Decides what changed, sends it to the appliance, and brings it back."""

VERSION = "0.1.0"
