"""Expansion briefs: what whoever sells, or looks after, a customer who may grow should know before they talk.

A writer (a template, or a language model behind an OpenAI-compatible address) puts facts into sentences; it never adds one. Names, ids
and owners do not leave the machine: writers see placeholders. Every text, whoever wrote it, goes through the guardrails before anybody
sees it, and every call is noted in the audit.
"""
