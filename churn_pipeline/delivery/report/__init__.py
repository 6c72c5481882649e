"""The weekly report: a page for each Monday, for people who have no server to look at.

`data` reads a published Monday, with `since` for what is different from the one before and `figures` for what is counted by owner; `words`
says figures in words, `charts` declares the pictures, `page` makes one file of all, `write` puts the files where they lie. No figure is
computed outside of the first three, and none is computed there that the pipeline has computed already.
"""
