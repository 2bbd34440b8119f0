"""Restore: trees and files of a view back onto this PC."""
