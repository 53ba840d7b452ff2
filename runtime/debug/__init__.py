"""What looks at a machine from outside: the debugger's view of it, gdb's remote protocol, the monitor."""
