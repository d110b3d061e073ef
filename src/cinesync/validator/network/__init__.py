"""Connections between validators and clients, the queries they carry, and the client library."""
