"""The weekly report: a page for each Monday, for people who have no server to look at.

`data` reads a published Monday, `charts` declares the pictures, `page` makes one file of both, `write` puts the files where they
lie. No figure is computed outside of `data`, and none is computed there that the pipeline has computed already.
"""
