"""A service as small as can be, to run the chassis with."""
