"""The Data Docs: what was expected of the data, and what was found, as a page."""

import dagster as dg

from churn_pipeline.contract import TABLES
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors
from churn_pipeline.orchestration.keys import DATA_DOCS, LAST, landing_key


def data_docs(candidates: dg.AssetKey) -> dg.AssetsDefinition:
    """The asset that renders the site, when the checks of both edges are done."""

    @dg.asset(
        key=DATA_DOCS,
        op_tags=LAST,
        deps=[candidates, *(landing_key(name) for name in TABLES)],
        **about("quality"),
        description="HOME/data/published/data_docs/index.html: what was expected of the landed tables and of the candidates of the last 13 "
        "Mondays, and what was found, with samples of failing rows. One page for all Mondays, replaced as a whole, hence without partitions.",
        kinds={"html"},
    )
    def data_docs_site(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.quality import site

        target = home.settings.published / "data_docs"
        with expected_errors():
            judgements = site.build(home.settings.quality, target)
        return dg.MaterializeResult(
            metadata={"judgements": judgements, "page": dg.MetadataValue.path(str(target / "index.html"))}
        )

    return data_docs_site
