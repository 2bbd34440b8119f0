"""Data transfer (DTM): packs in order, compressed side by side, sent at the granted rate."""
