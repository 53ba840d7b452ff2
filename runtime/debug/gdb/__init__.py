"""gdb's remote serial protocol (gdb manual, appendix E): a server over a replay, or over a machine that runs live."""
