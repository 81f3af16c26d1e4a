"""Bundles in object storage: found, fetched into a folder of this machine, and verified there."""
