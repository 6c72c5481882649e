"""What a channel has to be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Channel, FactTable, Order, Receipt
from churn_pipeline.delivery.channels import CHANNELS
from churn_pipeline.orchestration import definitions
from churn_pipeline.orchestration.definitions import build_defs
from churn_pipeline.orchestration.keys import channel_key
from churn_pipeline.privacy import erase
from tests.conftest import TINY_BEFORE


def recording(orders: list[Order], **more: object) -> Channel:
    def deliver(order: Order) -> Receipt:
        orders.append(order)
        return Receipt(order.mondays, {"letters": FactTable(("Monday", "letters"), ((TINY_BEFORE, 3),))})

    return Channel(
        name="letters",
        place="the post",
        description="Letters.",
        kinds=frozenset({"paper"}),
        priority=-6,
        deliver=deliver,
        **more,  # type: ignore[arg-type]
    )


def test_a_channel_that_keeps_customers_elsewhere_and_cannot_erase_them_is_refused() -> None:
    with pytest.raises(ValueError, match="letters keeps customers in the post, and cannot erase them there"):
        recording([], keeps_outside_home=True)


def test_every_channel_that_keeps_customers_elsewhere_is_asked_to_erase_them(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    erased: list[Sequence[str]] = []

    def forget(_: Settings, customer_ids: Sequence[str]) -> int:
        erased.append(customer_ids)
        return 2 if len(erased) == 1 else 0

    letters = recording([], keeps_outside_home=True, erase=forget)
    monkeypatch.setattr(erase, "_OUTSIDE", (letters,))
    customer = next(iter(erase_candidates(tiny_copy)))
    done = erase.forget(tiny_copy, customer, reason="erasure was asked for", who="test")
    assert erased == [[customer], [customer]]
    assert done.touched[0] == erase.Touched("the post", "rows", 2)


def erase_candidates(settings: Settings) -> list[str]:
    from tests.support.homes import query

    return [
        row[0] for row in query(settings.published_database, "select customer_id from predictions order by 1 limit 1")
    ]


def test_a_new_channel_is_one_declaration_that_gets_the_published_mondays_of_a_run(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Order] = []
    letters = recording(orders)
    monkeypatch.setattr(definitions, "CHANNELS", (*CHANNELS, letters))
    settings = tiny_copy.model_copy(update={"now": datetime(2026, 6, 1, 12, tzinfo=UTC)})
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_defs(settings)
            .resolve_job_def("monday_run")
            .execute_in_process(
                partition_key=str(TINY_BEFORE), asset_selection=[channel_key(letters)], instance=instance
            )
        )
        assert result.success
        (materialized,) = result.asset_materializations_for_node("letters")
    assert [list(order.mondays) for order in orders] == [[TINY_BEFORE]]
    assert "| 2026-06-01 | 3 |" in materialized.metadata["letters"].value


def test_a_channel_that_is_not_configured_says_so_and_is_not_asked(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Order] = []
    letters = recording(orders, missing=lambda _: "not configured: there is no stamp")
    monkeypatch.setattr(definitions, "CHANNELS", (letters,))
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_defs(tiny_copy)
            .resolve_job_def("monday_run")
            .execute_in_process(
                partition_key=str(date(2026, 6, 1)), asset_selection=[channel_key(letters)], instance=instance
            )
        )
        (materialized,) = result.asset_materializations_for_node("letters")
    assert not orders
    assert materialized.metadata["the post"].value == "not configured: there is no stamp"
