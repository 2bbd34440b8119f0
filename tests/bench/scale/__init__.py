"""`build.py bench scale`: the limits of the appliance shown on the host board: entries and views, agents at once, one large view."""
