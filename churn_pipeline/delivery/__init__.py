"""What leaves the warehouse for people and tools to read.

Here: published copies, each replaced whole in one step. Not here: anything that computes; a reader sees what policy wrote.
"""
