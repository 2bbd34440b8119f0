"""All views of this client as a read-only filesystem: `bobbin mount`."""
