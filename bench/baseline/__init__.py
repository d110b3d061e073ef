"""What one would write: Flask, SQLAlchemy, SELECT … FOR UPDATE. Ours stand next to its figures.

It sells seats and takes money with the same care about double sales and double payments, and does
less: no ledger, no events, no live seat map, no choice of seats that leaves no gap.
"""
