"""Dagster, and only here: assets and checks as thin shells, the jobs and how they are executed, the home and dbt as their resources.

A shell reads, calls a function of another room, writes and reports. What it computes belongs into that room.
"""
