"""Views of this client: chosen by time, walked, searched, compared, and their contents fetched. Used by the commands, restore and mount."""
