"""The version of the appliance, shown by the console and in the name of the image."""

VERSION = "0.1.0"
