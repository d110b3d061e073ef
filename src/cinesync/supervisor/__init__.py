"""Starts, watches and stops the processes of a shop on one machine.

Hand-written, because a shop must start with one command as any user, without systemd or a container
runtime; with those, run `cinesync serve`, `bank` and `validator` under them instead.
"""
