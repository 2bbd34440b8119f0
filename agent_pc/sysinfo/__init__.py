"""File differencing (FDM): what is new, modified, deleted; what the appliance already holds."""
