"""Attacks on the shop, each as a test that fails when its guard is off."""
