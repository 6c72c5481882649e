"""Tells a program of one's own that a Monday is out: a signed request for each, by way of the outbox."""
