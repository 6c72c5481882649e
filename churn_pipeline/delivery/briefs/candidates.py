"""For whom briefs are prepared: the first candidates of the ranking whom anybody may approach."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb

from churn_pipeline.core.targets import target_of
from churn_pipeline.delivery.call_list import may_be_approached


def candidates(published: duckdb.DuckDBPyConnection, monday: date, count: int) -> list[dict[str, Any]]:
    """The first candidates for an offer, as a document of briefs describes them.

    Args:
        published: the published database.
        monday: one of its Mondays.
        count: how many at most.
    """
    propensity = target_of("expansion").probability_column
    result = published.execute(
        f"""
        select customer_id, company_name, predictions.csm_owner, expansion_rank, plan_tier, target_tier,
               {propensity} as propensity, expected_arr_uplift::double as expected_arr_uplift
        from predictions left join customers using (customer_id)
        where snapshot_date = ? and is_expansion_candidate and {may_be_approached()}
        order by expansion_rank
        limit ?
        """,
        [monday, count],
    )
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
