"""Every number of the family ``terms``, with the reason for its value. Formulas are in the package docstring.

What both families share stands in :mod:`churn_pipeline.simulate.parameters`: tiers, event types, words, calls, shocks.
The values were tuned together on seeds 1 to 6: 30-day churn about 3 %, 90-day churn 8 to 9 %, oracle AUC about 0.83 at 90
days, and most of those who are bound leaving when their term ends.
"""

from __future__ import annotations

from churn_pipeline.simulate.population import Growth

# --- Book and growth ------------------------------------------------------------------------------------------------
# An older company that hardly grows: 4 % a year, mean tenure of the first book three years, cut at eight.
GROWTH = Growth(
    weekly=0.0008,
    planned_loss=0.0072,
    mean_tenure=1_000.0,
    max_tenure=2_922,
    # Sales close deals at the end of the week.
    weekdays=(0.10, 0.14, 0.18, 0.24, 0.34, 0.0, 0.0),
)

# --- Plans and seats ------------------------------------------------------------------------------------------------
# Of TIERS: few use it for free.
TIER_SHARES = (0.07, 0.45, 0.31, 0.14, 0.03)
# Seats by tier: log-normal and wide, so that a plan says little of the size.
SEATS_MEDIAN = (4.0, 12.0, 26.0, 80.0, 260.0)
SEATS_SIGMA = 0.85
# USD a seat and month by tier, and how much a customer's own price differs. What is paid is seats times price.
SEAT_PRICE = (0.0, 42.0, 58.0, 72.0, 85.0)
SEAT_PRICE_SIGMA = 0.18

# --- Contracts ------------------------------------------------------------------------------------------------------
# Share with a term by tier at signup; the others can leave any day and have no row.
TERM_SHARE = (0.0, 0.40, 0.70, 0.92, 1.0)
# First terms, and what follows them: who signed for years renews by the year, and some of the yearly sign for longer.
FIRST_TERM_DAYS = (365, 730, 1_095)
FIRST_TERM_SHARES = (0.72, 0.18, 0.10)
RENEWAL_DAYS = (365, 730)
RENEWAL_SHARES = (0.85, 0.15)
# Days of free trial between signup and the first term.
TRIAL_DAYS = (0, 14, 30)

# --- Activity -------------------------------------------------------------------------------------------------------
# Log of activity per seat relative to a usual customer. Eleven levels from a seventh of it to nearly three times as much.
ACTIVITY_LOW, ACTIVITY_STEP, ACTIVITY_LEVELS = -2.0, 0.3, 11
# The level that everybody drifts to, and where newcomers begin, spread over its neighbours.
ACTIVITY_USUAL = 7
ACTIVITY_START_SIGMA = 1.8
# Weekly steps: up and down by one level with this probability, and more towards the usual level by this much a level.
# Most weeks change nothing: customers have habits, no slowly moving mood.
ACTIVITY_STEP_WEEKLY = 0.030
ACTIVITY_PULL = 0.004
# The person who used it leaves: at once down to the lowest levels.
ACTIVITY_DROP = 0.006
ACTIVITY_DROP_TO = (0.5, 0.3, 0.2)
# Somebody new takes it up: from the lowest three levels to this one.
ACTIVITY_REVIVAL = 0.015
ACTIVITY_REVIVAL_TO = 6
# A problem begins whatever the activity, and lasts about six weeks.
PROBLEM_BEGIN = 0.010
PROBLEM_END = 0.16

# --- Churn ----------------------------------------------------------------------------------------------------------
CHURN_LEVEL = -5.05
# Log-linear: halving the activity adds 0.55, tenfold seats take 0.6 off, a tenfold tenure 0.5.
CHURN_ACTIVITY = 0.80
CHURN_PROBLEM = 0.90
CHURN_LOG_SEATS = -0.25
CHURN_LOG_TENURE = -0.22
# Weeks added to the tenure, so that newcomers do not leave at an infinite rate.
CHURN_TENURE_FROM = 4.0
# Of INDUSTRIES.
CHURN_INDUSTRY = (0.25, 0.10, -0.15, -0.20, 0.05, 0.0)
# Seasons differ by industry: amplitude and peak day of the year.
CHURN_SEASON = (0.25, 0.30, 0.45, 0.10, 0.30, 0.15)
CHURN_SEASON_PEAK = (290, 335, 185, 10, 182, 20)
# Business cycle: everybody leaves more often every few years. The level of last year is not that of this one.
CHURN_CYCLE = 0.20
CHURN_CYCLE_DAYS = 1_190.0
CHURN_CYCLE_PEAK = 20_700
# Without a term somebody can always go. Within one hardly, until notice can be given, and most go with the term itself:
# days to its end at Monday -> effect; the last is the rest of the term.
CHURN_UNBOUND = 0.35
TERM_STEPS = ((7, 3.30), (35, 0.50), (100_000, -2.10))
# The end of a first term is a harder question than the end of a later one.
CHURN_FIRST_TERM_END = 0.45
# People cancel with the weekend before them. 30 days end after Tuesday, 90 after Saturday.
CHURN_WEEKDAYS = (0.12, 0.13, 0.15, 0.20, 0.28, 0.07, 0.05)
# Acquired or merged: 3 % a year.
LEAVE_WEEKLY = 0.0006

# --- Upgrades and downgrades ----------------------------------------------------------------------------------------
# Not looking, comparing, deciding.
READY_MOVES = ((0.975, 0.025, 0.0), (0.09, 0.79, 0.12), (0.14, 0.06, 0.80))
UPGRADE_BY_READINESS = (0.0004, 0.0050, 0.0650)
UPGRADE_ACTIVITY = 0.45
UPGRADE_ACTIVITY_LIMITS = (0.5, 1.6)
# Appetite by tier at signup, and the power of seats over the median of the smallest paid tier.
UPGRADE_APPETITE = (0.8, 1.2, 1.0, 0.6, 0.5)
UPGRADE_SEATS = 0.15
UPGRADE_SEATS_LIMITS = (0.6, 1.6)
# Budgets are given by the quarter: relative amplitude, length, and day of the peak.
UPGRADE_SEASON = 0.35
UPGRADE_SEASON_DAYS = 91.3125
UPGRADE_SEASON_PEAK = 80
# Never on Monday, which is the day of a plan migration (tier shock): two changes of one customer never share a date.
PLAN_CHANGE_WEEKDAYS = (0.0, 0.20, 0.20, 0.30, 0.30, 0.0, 0.0)
DOWNGRADE_WEEKLY = 0.0006
DOWNGRADE_ACTIVITY = 0.6
DOWNGRADE_CAP = 0.004

# --- Industries and their calendars ---------------------------------------------------------------------------------
INDUSTRIES = ("hospitality", "construction", "education", "legal", "nonprofit", "wholesale")
INDUSTRY_SHARES = (0.18, 0.20, 0.14, 0.14, 0.12, 0.22)
# Factor on visits by month, January first, for each industry.
VISITS_BY_MONTH = (
    (0.80, 0.80, 0.90, 1.00, 1.10, 1.25, 1.35, 1.35, 1.10, 0.95, 0.80, 0.90),
    (0.60, 0.75, 1.05, 1.15, 1.20, 1.15, 1.10, 1.00, 1.15, 1.10, 0.95, 0.45),
    (1.05, 1.10, 1.10, 1.05, 1.10, 0.80, 0.25, 0.25, 1.20, 1.20, 1.10, 0.60),
    (1.10, 1.05, 1.05, 1.00, 1.00, 0.95, 0.80, 0.70, 1.00, 1.05, 1.05, 0.80),
    (0.95, 0.95, 1.00, 1.00, 1.00, 1.10, 0.85, 0.80, 1.00, 1.05, 1.15, 1.10),
    (0.85, 0.85, 0.95, 1.00, 1.00, 0.95, 0.90, 0.90, 1.05, 1.15, 1.30, 1.10),
)
# Share of visits by weekday, Monday first, for each industry.
VISITS_BY_WEEKDAY = (
    (0.10, 0.10, 0.12, 0.16, 0.20, 0.18, 0.14),
    (0.26, 0.18, 0.17, 0.17, 0.20, 0.02, 0.00),
    (0.21, 0.22, 0.22, 0.20, 0.13, 0.01, 0.01),
    (0.19, 0.20, 0.20, 0.20, 0.17, 0.02, 0.02),
    (0.15, 0.22, 0.24, 0.22, 0.12, 0.03, 0.02),
    (0.24, 0.19, 0.17, 0.17, 0.18, 0.04, 0.01),
)

# --- Visits ---------------------------------------------------------------------------------------------------------
# Visits a week of a usual customer with the seats of SEATS_REFERENCE; with the power of seats. Few: a small customer comes
# once a week, and a week without a visit says next to nothing.
VISITS = 0.95
SEATS_REFERENCE = 12.0
VISITS_SEATS = 0.40
VISITS_SIGMA = 0.30
# Events of a visit: one, and a Poisson number more, all within the hour.
EVENTS_MORE = 1.3
# Of EVENT_TYPES: nobody here runs monitoring, and only those who connected their own system call the interface.
EVENT_SHARES = (0.0, 0.0, 0.52, 0.36, 0.12, 0.0, 0.0, 0.0)
EVENT_SHARES_CONNECTED = (0.0, 0.40, 0.31, 0.22, 0.07, 0.0, 0.0, 0.0)
CONNECTED_SHARE = 0.3
# Systems connected in a week, in the first quarter and later.
CONNECTS_WEEKLY = (0.16, 0.01)
CONNECTS_QUARTER = 91
# Weekly trials and limit hits by readiness.
TRIAL_RATES = (0.004, 0.10, 0.50)
LIMIT_RATES = (0.008, 0.14, 0.65)
# Depth of use is measured for evidence only; it says a little of the activity.
SCORED_TYPE = "evidence_upload"
SCORE_LEVEL = 0.50
SCORE_ACTIVITY = 0.05
SCORE_SIGMA = 0.18

# --- Support --------------------------------------------------------------------------------------------------------
TICKET_RATE = 0.045
TICKET_SEATS = 0.3
PROBLEM_TICKET_RATE = 0.65
REQUEST_RATES = (0.008, 0.05, 0.12)
TICKET_PRIORITIES = (0.30, 0.50, 0.17, 0.03)
TICKET_TOPICS = (0.10, 0.30, 0.18, 0.07, 0.27, 0.08, 0.0)
PROBLEM_PRIORITIES = (0.05, 0.30, 0.45, 0.20)
PROBLEM_TOPICS = (0.15, 0.20, 0.40, 0.15, 0.0, 0.10, 0.0)
# Median hours to resolution, of problems twice as long.
RESOLUTION_MEDIAN = 34.0
RESOLUTION_PROBLEM = 2.0
RESOLUTION_SIGMA = 0.8
# Tickets are opened on working days.
TICKET_WEEKDAYS = (0.24, 0.22, 0.20, 0.19, 0.15, 0.0, 0.0)

# --- Opportunities --------------------------------------------------------------------------------------------------
EXPANSION_OPP_RATES = (0.001, 0.018, 0.090)
NEW_BUSINESS_OPP_RATE = 0.001

# --- What is exported -----------------------------------------------------------------------------------------------
# One seed in four (1, 5, 9 ...) keeps its book in a billing system: subscriptions instead of plan changes.
BILLING_EVERY, BILLING_REST = 4, 1
# Columns that the other family has and these exports have not; nor is there a table of risk signals.
ABSENT = {"customers": ("csm_owner", "upgrade_date"), "contracts": ("auto_renew",)}
