r"""A believable B2B SaaS company as raw files, with the true probabilities beside them.

The company is drawn from one generative model, week by week, all parameters in
:mod:`~churn_pipeline.simulate.parameters`. Week ``t`` begins on the Monday ``S_t``; ``i`` is a customer.

**Latent state** at 00:00 of ``S_t``, a Markov chain on a finite grid:

- health ``h`` in ``HEALTH_GRID``: a discretised AR(1), ``h' ~ N(phi h, 1 - phi^2)``;
- incident ``d`` in {0, 1}: begins with probability ``min(cap, b exp(-s h))``, ends with a constant one;
- readiness to buy more, ``r`` in {0..4}: a birth-death chain, set back to 0 by an upgrade.

**Hazards** of the week that begins on ``S_t``::

    churn    p = 1 - exp(-exp(a + m(h) + e d + loyalty_i + season(t) + onboarding(tenure) + renewal(contract clock)
                               + call_i))
             with m(h) = -gamma h
    leave    c = constant                  (acquired, merged: off the book without churning)
    upgrade  u = appetite_i budget(t) w(r) g(h)    and 0 on the highest tier
    downgrade v = min(cap, k exp(-s h))    (alters no hazard)

In a week a customer churns with p; else leaves with c; else upgrades with u; else downgrades with v. The day within the
week has a fixed, known distribution. ``loyalty_i`` and ``appetite_i`` follow the tier at *signup*, so no plan change
alters a hazard; season, tenure and the contract clock are known into the future. ``call_i`` is a hidden negative number
in the 13 weeks after a call, else 0, and whom the team calls follows from health and traits
(:mod:`~churn_pipeline.simulate.calls`). Therefore the probability of an event within n weeks and k days is a finite
recursion, and :mod:`~churn_pipeline.simulate.oracle` computes it exactly, with no Monte Carlo.

**Behaviour** of the week follows the state to which the chains move in it (that of ``S_{t+1}``) and static traits,
never the outcome: the chains move alike for those who leave and before an upgrade resets readiness, and whoever churns
on a Thursday behaves until Wednesday as the same customer would have otherwise. With ``y(h)`` the health as it shows
(steeper below -1)::

    events of type k  ~ Poisson(intensity_i calendar(t) ramp(tenure) noise_it share_k exp(slope_k y(h)))
                         and none in a quiet week, which comes with min(cap, q exp(-s y(h)))
    trials, limit hits ~ Poisson(rate_k(r))
    adoption score     = clip(level_i + slope y(h) - newness(tenure) + noise_it + noise)
    tickets            ~ Poisson(rate exp(-s h)) ordinary, plus Poisson(rate) urgent ones while d = 1
    compliance gap     = logistic(c - s h + noise);   vendor flags ~ Poisson(f exp(-s h))
    opportunities      ~ Poisson(rate(r))

One entry point draws it, one writes it::

    company = simulate(Simulation(until=date(2026, 11, 2)))
    write(company, Path("demo"))        # demo/raw/*.parquet and demo/oracle.parquet

What a call list of such a company is worth says :mod:`~churn_pipeline.simulate.judge`.
"""

from churn_pipeline.simulate.company import Company, simulate
from churn_pipeline.simulate.simulation import SHOCK_KINDS, Shock, Simulation, parse_shock
from churn_pipeline.simulate.write import write

__all__ = ["SHOCK_KINDS", "Company", "Shock", "Simulation", "parse_shock", "simulate", "write"]
