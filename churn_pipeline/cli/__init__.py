"""The command: its options (``commands``), what it does that is no job (``run``), what it prints (``output``)."""
