"""Who makes a request, and from where: access tokens, ended sessions, client addresses."""
