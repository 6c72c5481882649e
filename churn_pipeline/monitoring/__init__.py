"""Looks back at what was published, with the truth known today.

Here: what the call lists of past Mondays were worth, and whether the probabilities meant what they said. Monitoring
    reads and never writes
back: no table of the warehouse changes because somebody looked, so every function here works on a read-only connection.
"""
