"""Erasing customers: the list of the forgotten, where a home may hold something about a customer, and taking it out.

Here belongs what a request for erasure needs. Here does not belong what lands or is published in the first place: places are
known by what they look like (a table with a ``customer_id``, a message, a page), so that a new one is found without being named.
"""
