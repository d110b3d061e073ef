"""Accounts, guests, sign-in, sessions, and the keys that sign access tokens.

Owns customers_local, customer_emails, sessions, revocations, sign_in_failures, sign_in_links,
throttled_actions, signing_keys. Emits customer.registered, customer.erased, link.requested.
Consumes the last two itself: it mails links, and deletes the mails of erased customers.
"""
