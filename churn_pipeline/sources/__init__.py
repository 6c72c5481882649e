"""Where a home's raw tables come from: ``HOME/sources.yml``, the proposal of one, and fetching what lies elsewhere.

Here belong the file's form and what is wrong with it, what the exports of known products look like, and guessing which file is which
table. Here does not belong how a file is read and what a table must look like: that is `contract`, which is handed the plain values that
this room makes.
"""

from churn_pipeline.sources.declared import Connection, RemoteSource, Sources
from churn_pipeline.sources.read import read_sources, sources_of

__all__ = ["Connection", "RemoteSource", "Sources", "read_sources", "sources_of"]
