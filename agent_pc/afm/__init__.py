"""Active file manager (AFM): when a file, or a group of files, is safe to read, and how it is held still while it is read."""
