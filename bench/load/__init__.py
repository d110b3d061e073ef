"""The load generator, a process of its own: open or closed loop, and lean."""
