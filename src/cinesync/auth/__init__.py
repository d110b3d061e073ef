"""Who somebody is: accounts, guests, sign-in, sessions, and the keys that sign access tokens.

Owns customers_local, customer_emails, sessions, sign_in_failures, signing_keys.
Emits customer.registered. Consumes nothing.
"""
