"""The monitor: commands typed by a person or sent by a program, over a replay or a machine that runs live.

``commands`` has the table, ``monitor`` what the commands work on, ``hmp`` and ``qmp`` are the two ways to talk to it,
``hub`` listens. docs/monitor.md.
"""
