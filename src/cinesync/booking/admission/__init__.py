"""Admission: tickets are scanned, admit once, and can be revoked."""
