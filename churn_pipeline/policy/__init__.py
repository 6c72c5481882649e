"""What decides about a customer and is no mathematics: the version of the policy, and the draw of the hold-out.

The policy itself is data, the seeds in ``dbt_project/seeds``, and dbt applies it.
"""
