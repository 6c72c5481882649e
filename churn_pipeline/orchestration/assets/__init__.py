"""Dagster assets: each reads, calls a pure function, writes and reports. Domain logic belongs to the packages they call."""
