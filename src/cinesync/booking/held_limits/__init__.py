"""How many unpaid seats one e-mail and one address may hold."""
