"""Live seat maps: one state for each watched show, and the subscribers who follow it."""
