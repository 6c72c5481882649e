"""The HTTP API: what is published, for programs. Read only; it opens published copies and nothing else of a home.

Handlers read, call a use case and report. What a customer is and what is predicted is decided elsewhere.
"""
