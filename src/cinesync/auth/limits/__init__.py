"""What counts against a limit: failed sign-ins, sign-ups and requested links."""
