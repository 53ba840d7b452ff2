"""The encodings to test: the same enumeration that the coverage table is made from."""

from frontends.x86.encodings import Encoding, encodings

__all__ = ["Encoding", "encodings"]
