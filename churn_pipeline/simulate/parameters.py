"""Every number of the family ``health``, with the reason for its value, and what both families share: extent, tiers, words,
calls, shocks. Formulas are in :mod:`~churn_pipeline.simulate.latent`.

The values were tuned together against the properties that the tests hold (10,000 customers, 104 weeks, several seeds):
30-day churn 3 to 6 %, oracle AUC about 0.86, all four risk tiers filled, no shortcut by silence or static columns, and
health that good features recover.
"""

from __future__ import annotations

# --- Extent ---------------------------------------------------------------------------------------------------------
# Ids have seven digits, and those from five million on belong to customers that nobody knows (dirt). Memory ends before:
# the hidden lives of all customers are held, 6 bytes for every customer and week.
MAX_CUSTOMERS = 1_000_000
# Factor on use: below it hardly anybody does anything, above it a small company has more events than a large one.
MIN_USE, MAX_USE = 0.01, 20.0
# Ten years. Signup dates of the first book reach five years further back.
MAX_WEEKS = 520
# Facts before the first oracle Monday: the longest feature window is 90 days, which are covered by 13 weeks.
RUN_IN_WEEKS = 13

# --- Book and growth ------------------------------------------------------------------------------------------------
# Weekly growth of the active book, about 17 % a year: visible, and slow enough for a model of last year to hold.
WEEKLY_GROWTH = 0.003
# Share of the book lost in an average week. Only used to plan signups, so that losses + growth = signups; the hazards
# decide what is lost.
PLANNED_WEEKLY_LOSS = 0.0108
# Tenure of the first book in days: exponential, cut at five years. A young company that sells annual contracts.
BOOK_MEAN_TENURE = 420.0
BOOK_MAX_TENURE = 1826
# People sign mostly on working days; Monday first.
SIGNUP_WEEKDAYS = (0.20, 0.21, 0.21, 0.19, 0.13, 0.03, 0.03)

# --- Plans ----------------------------------------------------------------------------------------------------------
TIERS = ("free", "starter", "growth", "enterprise", "custom")
TIER_SHARES = (0.20, 0.36, 0.28, 0.13, 0.03)
# USD a month. Floors and ceilings of the plan ladder; custom has none in the policy and begins where enterprise gets
# expensive.
MRR_RANGES = ((0.0, 0.0), (500.0, 2_000.0), (2_000.0, 8_000.0), (8_000.0, 50_000.0), (50_000.0, 150_000.0))
# Where in the range a price lies: Beta(2, 3), more customers near the floor than near the ceiling.
MRR_BETA = (2.0, 3.0)
# Median seats by tier; log-normal around it.
SEATS_MEDIAN = (4.0, 12.0, 40.0, 160.0, 600.0)
SEATS_SIGMA = 0.5
INDUSTRIES = ("fintech", "healthcare", "saas", "manufacturing", "retail", "logistics", "public_sector")
INDUSTRY_SHARES = (0.20, 0.16, 0.22, 0.13, 0.13, 0.09, 0.07)
CSM_OWNERS = ("Amara Okafor", "Ben Lindqvist", "Chiara Conti", "Dmitri Volkov", "Elena García")
SALES_OWNERS = ("Farid Haddad", "Grace Kim", "Hugo Martin", "Ines Pereira")

# --- Contracts ------------------------------------------------------------------------------------------------------
# Share of customers with a term contract by tier at signup; the others pay month by month and have no row.
CONTRACT_SHARE = (0.0, 0.55, 0.85, 1.0, 1.0)
# Terms of half a year to two years. The mix, and the pilot of up to half a year before the first term, keep renewals from
# being read off tenure: with a pilot of at most 90 days static columns reached 27 % of the oracle's (AUC - 0.5) at 30
# days (seed 11, against 15 %), and the limit is 25 %.
TERM_DAYS = (182, 365, 730)
TERM_SHARES = (0.30, 0.55, 0.15)
PILOT_DAYS = 182
AUTO_RENEW_SHARE = 0.5

# --- Health ---------------------------------------------------------------------------------------------------------
# Standard normal in the long run; 25 points a quarter apart, the spread of one week's step, so that the chain moves by
# about one point.
HEALTH_POINTS = 25
HEALTH_LIMIT = 3.0
# Weekly persistence, half-life 27 weeks. Higher makes health easier to recover and 90 days as predictable as 30; below
# 0.95 today's health says too little about three months ahead.
HEALTH_PERSISTENCE = 0.975
# Incidents: about 5 % of customers at a time, 5 weeks long, more often where health is poor.
INCIDENT_BEGIN = 0.010
INCIDENT_SLOPE = 0.45
INCIDENT_BEGIN_CAP = 0.10
INCIDENT_END = 0.20

# --- Churn ----------------------------------------------------------------------------------------------------------
CHURN_LEVEL = -5.2
# Effect of one standard deviation of health. It alone gives the oracle most of its AUC. Before the contract clock got its
# weight 1.5 gave 0.83 at 30 days and 1.9 gave 0.87; below 1.5 the gravest tier (90 days, 0.75) runs empty.
CHURN_HEALTH = 1.65
CHURN_INCIDENT = 0.8
# Loyalty by tier at signup. Small: tier today must not be a shortcut.
CHURN_TIER = (0.12, 0.06, 0.0, -0.08, -0.12)
# Newcomers leave more often: exp decay over weeks of tenure.
CHURN_ONBOARDING = 0.40
CHURN_ONBOARDING_WEEKS = 8.0
# Budgets are cut in January: amplitude in log-hazard, peak day of the year.
CHURN_SEASON = 0.12
CHURN_SEASON_PEAK = 15
# Contract clock, days to the end of the running term at Monday -> effect without and with auto-renewal. Last row:
# locked in. Whoever has a term contract leaves when it ends, or hardly at all: this is what makes churn in B2B no straight
# line in anything, and the reason why trees beat a logistic regression here. Weaker, and the two are level (average
# precision at 90 days 0.335 against 0.339 with 1.20 / -0.30); stronger, and the oracle's AUC at 30 days passes 0.88.
RENEWAL_STEPS = ((21, 2.00, 1.20), (63, 0.40, 0.20), (100_000, -0.85, -0.85))
# Day within the week, Monday first: notices come in at the start of the week. 30 days end after Tuesday, 90 after
# Saturday.
CHURN_WEEKDAYS = (0.24, 0.21, 0.18, 0.15, 0.12, 0.05, 0.05)
# Acquired or merged: 2 % a year.
LEAVE_WEEKLY = 0.0004

# --- Calls ----------------------------------------------------------------------------------------------------------
# Calls planned a week as a share of the book: a hundred for 10,000 customers, so that somebody was called in an eighth of
# the book within any quarter. At most so many: a call to every payer once a quarter is 0.06 of the book a week.
CALL_SHARE = 0.01
MAX_CALL_SHARE = 0.05
# Size at which a manager looks half as often as at the very largest: where enterprise plans begin.
CALL_HALF_MRR = 8_000.0
# Use that has fallen is seen in half of the cases at half a standard deviation below the usual, nearly always at -1.5.
CALL_HEALTH_MIDDLE = -0.5
CALL_HEALTH_SLOPE = 3.0
# A quarter, and a day longer than the long horizon: no forecast of 90 days meets two effects that begin in it.
CALL_EFFECT_WEEKS = 13
# Share of the hazard that a call takes away: Beta(0.5, 1.5), a quarter on average. Most hardly listen and a few nearly
# always stay, so that whom to call is a question of its own beside who is at risk. Of the called who would have left
# within the quarter one in six or seven stays.
PERSUADABILITY = (0.5, 1.5)
PERSUADABILITY_LIMIT = 0.95
# Calls are made on working days; Monday first.
CALL_WEEKDAYS = (0.24, 0.22, 0.20, 0.19, 0.15)
CALL_HOURS = (9, 17)
CALL_KINDS = ("call", "video_call", "visit")
CALL_KIND_SHARES = (0.72, 0.22, 0.06)
# What the manager writes down. It says nothing of persuadability: nobody knows it, and nobody should learn it from here.
CALL_OUTCOMES = ("reached", "plan agreed", "wants to be left alone for now")
CALL_OUTCOME_SHARES = (0.60, 0.30, 0.10)
# Days for which the last of these is to be left alone.
SNOOZE_DAYS = (21, 60)

# --- Upgrades and downgrades ----------------------------------------------------------------------------------------
READINESS_LEVELS = 5
READINESS_UP = 0.06
READINESS_DOWN = 0.11
# Weekly upgrade hazard by readiness, about 0.4 % on average.
UPGRADE_BY_READINESS = (0.0003, 0.0012, 0.0050, 0.0250, 0.1400)
# The unhealthy buy less: exp(slope h) within these limits.
UPGRADE_HEALTH = 0.30
UPGRADE_HEALTH_LIMITS = (0.40, 1.60)
# Appetite by tier at signup. Whoever is already large has less room.
UPGRADE_APPETITE = (1.10, 1.20, 1.00, 0.70, 0.50)
# Budgets are spent in late autumn: relative amplitude, peak day of the year.
UPGRADE_SEASON = 0.20
UPGRADE_SEASON_PEAK = 330
# Never on Monday, which is the day of a plan migration (tier shock): two changes of one customer never share a date.
PLAN_CHANGE_WEEKDAYS = (0.0, 0.27, 0.28, 0.27, 0.18, 0.0, 0.0)
DOWNGRADE_WEEKLY = 0.0004
DOWNGRADE_HEALTH = 0.50
DOWNGRADE_CAP = 0.004

# --- Usage ----------------------------------------------------------------------------------------------------------
EVENT_TYPES = (
    "monitoring_run",
    "api_call",
    "report_view",
    "evidence_upload",
    "user_invite",
    "integration_connect",
    "premium_feature_trial",
    "feature_limit_hit",
)
# Events a week of a customer with median health by tier at signup: about 11 million for 10,000 customers and 104 weeks.
INTENSITY = (9.0, 14.0, 20.0, 30.0, 45.0)
# Customers of a tier differ by a quarter; much more and a customer's level says little without a long history of its
# own.
INTENSITY_SIGMA = 0.22
# Share of a usual week and how strongly health moves it, for the first five types. Invites and evidence stop first.
USAGE_SHARES = (0.39, 0.31, 0.15, 0.11, 0.04)
USAGE_SLOPES = (0.45, 0.45, 0.40, 0.55, 0.70)
# Below -1 health shows steeper: disengagement speeds up.
SHOWN_KINK = -1.0
SHOWN_EXTRA = 0.4
# Week-to-week noise of a customer, and weeks in which nothing happens (a closed office, a team that has lost interest):
# rare where health is good, frequent where it is poor. They make silence a sign of churn, but not a shortcut.
USAGE_WEEK_SIGMA = 0.20
QUIET_WEEK_SHARE = 0.03
QUIET_WEEK_HEALTH = 1.1
QUIET_WEEK_CAP = 0.6
# Use ramps up: 1 - depth exp(-weeks / scale).
RAMP_DEPTH = 0.5
RAMP_WEEKS = 3.0
# Weekly integrations in the first 30 days (by health) and afterwards.
INTEGRATION_DAYS = 30
INTEGRATION_ONBOARDING = 0.9
INTEGRATION_HEALTH = 0.40
INTEGRATION_LATER = 0.05
# Weekly trials and limit hits by readiness.
TRIAL_RATES = (0.01, 0.03, 0.20, 0.90, 2.20)
LIMIT_RATES = (0.02, 0.06, 0.35, 1.40, 3.20)
# Two quiet weeks around the turn of the year and a lighter August: factor on all use.
YEAR_END_FACTOR = 0.60
AUGUST_FACTOR = 0.88
# Hour (UTC) and weekday of an event. The night is what schedulers and other continents leave.
HOUR_WEIGHTS = (1, 1, 1, 1, 1, 2, 4, 10, 18, 24, 26, 24, 18, 20, 24, 25, 24, 20, 14, 9, 6, 4, 2, 1)
USAGE_WEEKDAYS = (0.19, 0.20, 0.20, 0.19, 0.15, 0.04, 0.03)

# --- Adoption score -------------------------------------------------------------------------------------------------
ADOPTION_LEVEL = 0.55
# Differs between customers by a third of the effect of health. From a half on, a model on windowed features no longer
# reaches 90 % of the oracle's (AUC - 0.5) at 90 days; without any difference one average would give health away.
ADOPTION_LEVEL_SIGMA = 0.035
ADOPTION_HEALTH = 0.12
ADOPTION_NEWNESS = 0.12
ADOPTION_NEWNESS_WEEKS = 5.0
ADOPTION_WEEK_SIGMA = 0.03
ADOPTION_EVENT_SIGMA = 0.11
ADOPTION_NULL_SHARE = 0.04

# --- Support --------------------------------------------------------------------------------------------------------
PRIORITIES = ("low", "medium", "high", "critical")
TOPICS = ("integration", "billing", "bug", "performance", "how_to", "access", "feature_request")
TICKET_RATE = 0.11
TICKET_HEALTH = 0.30
TICKET_PRIORITIES = (0.42, 0.44, 0.12, 0.02)
TICKET_TOPICS = (0.18, 0.15, 0.20, 0.12, 0.25, 0.10, 0.0)
# An incident shows as about one urgent ticket a week.
INCIDENT_TICKET_RATE = 1.0
INCIDENT_TICKET_PRIORITIES = (0.03, 0.17, 0.50, 0.30)
INCIDENT_TICKET_TOPICS = (0.25, 0.02, 0.35, 0.33, 0.0, 0.05, 0.0)
# Requests for features by readiness.
REQUEST_RATES = (0.015, 0.03, 0.07, 0.15, 0.25)
# Hours to resolution: log-normal around this median, longer where health is poor and in incidents.
RESOLUTION_MEDIAN = 20.0
RESOLUTION_SIGMA = 0.9
RESOLUTION_HEALTH = 0.20
RESOLUTION_INCIDENT = 2.0

# --- Risk signals ---------------------------------------------------------------------------------------------------
# One assessment every four weeks, staggered over customers.
RISK_EVERY_WEEKS = 4
GAP_LEVEL = -1.1
GAP_HEALTH = 0.55
GAP_SIGMA = 0.5
FLAGS_RATE = 0.7
FLAGS_HEALTH = 0.30

# --- Opportunities --------------------------------------------------------------------------------------------------
EXPANSION_OPP_RATES = (0.002, 0.005, 0.015, 0.045, 0.11)
NEW_BUSINESS_OPP_RATE = 0.0015
# Days from creation to a decision: log-normal. Whatever has not been decided when the data end, or the customer leaves,
# stays open.
OPP_MEDIAN_DAYS = 45.0
OPP_SIGMA = 0.6
# An expansion that ends with no change of tier (more seats) is won this often, new business likewise.
OPP_WIN_SHARE = 0.25
# A deal is worth about a third of a year's price at signup, log-normal; free customers are offered the cheapest paid
# plan.
OPP_AMOUNT_SHARE = 0.35
OPP_AMOUNT_SIGMA = 0.5

# --- Shocks ---------------------------------------------------------------------------------------------------------
SHOCK_USAGE_CUSTOMERS = 0.85
SHOCK_USAGE_KEPT = 0.45
SHOCK_TIER_CUSTOMERS = 0.50
SHOCK_FEED_LOST_TYPES = ("evidence_upload", "report_view")
SHOCK_FEED_KEPT = 0.65
SHOCK_SCORE_SCALE = 0.6
SHOCK_SCORE_SHIFT = 0.05
