"""The guarded mount: a FUSE passthrough that programs write through, for filesystems without clones.

It logs which regions are written (a source of agent_pc/fda), and gives a backup any file as of one moment (a guard of agent_pc/afm).
"""
