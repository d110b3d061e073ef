"""Refunds and disputes: their rules, commands and statements."""
