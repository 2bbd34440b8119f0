"""Commands that need no package of their own, a module each. Rows of the table in agent_pc/cli.py."""
