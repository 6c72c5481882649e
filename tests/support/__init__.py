"""Helpers that several tests share: raw data that ends earlier, and ways to read a home."""
