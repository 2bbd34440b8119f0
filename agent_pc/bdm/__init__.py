"""Block differencing (BDM): which chunks of a file are new."""
