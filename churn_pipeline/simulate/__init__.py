"""Believable B2B SaaS companies as raw files, with the true probabilities beside them.

A company is drawn from a generative model, week by week. Week ``t`` begins on the Monday ``S_t``; ``i`` is a customer.
There are two families, made to be unlike each other, so that nothing is learned that holds in one world only:

- ``health`` (:mod:`~churn_pipeline.simulate.latent`): a hidden health that shows in daily use;
- ``terms`` (:mod:`~churn_pipeline.simulate.terms`): hazards that are log-linear in activity, seats and tenure, contracts
  that end on a day, few visits a week. Its seeds 900 to 909 are kept for the last measurement of a change of the models.

What they share (:mod:`~churn_pipeline.simulate.dynamics`): hidden states and readiness are finite Markov chains, every
hazard is a function of the state and of what is known in advance, and in a week a customer churns; else leaves the book
(acquired, merged); else upgrades, 0 on the highest tier; else downgrades, which alters no hazard. The day within the
week has a fixed, known distribution. ``call_i`` is a hidden negative number in the log-hazard of churn in the 13 weeks
after a call, else 0, and whom the team calls follows from state and traits (:mod:`~churn_pipeline.simulate.calls`).
Therefore the probability of an event within n weeks and k days is a finite recursion, and
:mod:`~churn_pipeline.simulate.oracle` computes it exactly, with no Monte Carlo.

**Behaviour** of a week follows the state to which the chains move in it (that of ``S_{t+1}``) and static traits, never
the outcome: the chains move alike for those who leave and before an upgrade resets readiness, and whoever churns on a
Thursday behaves until Wednesday as the same customer would have otherwise.

One entry point writes a company of any size as it is made, one draws it into memory, one writes what was drawn::

    simulate_into(Simulation(until=date(2026, 11, 2)), Path("demo"))    # demo/raw/*.parquet and demo/oracle.parquet
    company = simulate(Simulation(until=date(2026, 11, 2)))
    write(company, Path("demo"))

What a call list of such a company is worth says :mod:`~churn_pipeline.simulate.judge`.
"""

from churn_pipeline.simulate.company import Company, simulate
from churn_pipeline.simulate.simulation import FAMILIES, SHOCK_KINDS, Shock, Simulation, parse_shock
from churn_pipeline.simulate.stream import simulate_into
from churn_pipeline.simulate.write import write

__all__ = [
    "FAMILIES",
    "SHOCK_KINDS",
    "Company",
    "Shock",
    "Simulation",
    "parse_shock",
    "simulate",
    "simulate_into",
    "write",
]
