"""What decides about a customer and is no mathematics: the risk tiers of each policy, the names of the plays, and the draw of the hold-out.

The policy itself is data, the seeds in ``dbt_project/seeds``. dbt applies it, names each row's by a hash of it, and keeps it by that hash
(``dbt_project/macros/policy/policy_version.sql``).
"""
