"""What is asked about one customer. Each question is one function; where the answer comes from says a repository.

Probabilities, tiers, reasons and actions are those of the published table. Only a risk score is computed here, because it is asked of
signals that nobody published; of those that were it is the same to the bit. An expansion brief is written in
:mod:`churn_pipeline.customers.briefs`.
"""

from __future__ import annotations

from churn_pipeline.customers.errors import ChurnedError, UnknownCustomerError
from churn_pipeline.customers.predictions import ChurnPrediction, ExpansionPrediction
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.repositories import AsOf, Predictions
from churn_pipeline.customers.risk_score import PRIOR_DAYS, RECENT_DAYS, ComposedRisk, RiskWeights, compose, usage_decay


def predict_churn(predictions: Predictions, customer: str) -> ChurnPrediction:
    """What is predicted of a customer's staying: probability, risk score, drivers and themes, what to do, and by which models.

    Args:
        predictions: of the Monday.
        customer: the customer_id, or the company's name, or how it begins.

    Raises:
        UnknownCustomerError: nobody is meant by that, or several are.
        ChurnedError: they were not active on the Monday.
    """
    return predictions.churn(predictions.customer_id(customer))


def predict_expansion(predictions: Predictions, customer: str) -> ExpansionPrediction | None:
    """What is predicted of a customer's growth; None where no model predicts it, or on the highest plan. Arguments and errors as
    `predict_churn`."""
    return predictions.expansion(predictions.customer_id(customer))


def customer_360(predictions: Predictions, customer: str) -> Customer360:
    """All that is known of a customer on the Monday. Arguments and errors as `predict_churn`."""
    return predictions.profile(predictions.customer_id(customer))


def risk_score(as_of: AsOf, customer_id: str, weights: RiskWeights) -> ComposedRisk:
    """The risk score of a customer as of any Monday, published or not.

    Args:
        as_of: what was known then.
        customer_id: who.
        weights: of the policy.

    Raises:
        UnknownCustomerError: nobody had that id.
        ChurnedError: they had left.
    """
    customer, monday = as_of.customers.by_id(customer_id), as_of.snapshot_date
    if customer is None:
        raise UnknownCustomerError(f"nobody with the id '{customer_id}' was a customer before {monday}")
    if not customer.is_active(monday):
        raise ChurnedError(f"'{customer_id}' was not active on {monday}: they left on {customer.left_on}")
    decay = None
    if as_of.usage.is_known:
        decay = usage_decay(
            as_of.usage.count(customer_id, RECENT_DAYS), as_of.usage.count(customer_id, PRIOR_DAYS, RECENT_DAYS)
        )
    return compose(as_of.signals.of(customer_id), decay, weights)
