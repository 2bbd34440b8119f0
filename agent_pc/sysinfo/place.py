"""Where the views show it. Used by collect.py, verb.py and agent_pc/restore."""

NAME = b".bobbin"  # in the root of a view
FILE = "system.json"
