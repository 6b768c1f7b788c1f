"""The engine: makes the runs that protocols name, records them, and holds today's code against them."""
