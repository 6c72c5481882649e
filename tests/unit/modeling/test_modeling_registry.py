from churn_pipeline.modeling.registry import _GOES_ON, _shortened


def test_a_card_that_mlflows_tables_cannot_hold_is_cut_to_what_they_hold_and_says_where_it_goes_on() -> None:
    """MLflow's column is a varchar(5000), which PostgreSQL enforces and SQLite does not; tests/stack registers such cards for real."""
    assert _shortened("é" * 5000, _GOES_ON) == "é" * 5000
    cut = _shortened("é" * 5001, _GOES_ON)
    assert len(cut) == 5000
    assert cut.endswith("(goes on in model_card.md of the run)")
