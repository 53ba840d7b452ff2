"""Recordings on disk: the log, checkpoints, the page store, digests."""
