"""Half a year of Mondays in a simulated company that is disturbed in week 20: every message that Slack was sent.

    python -m benchmarks.messages [--customers 4000] [--weeks 26] [--shock usage] [--shock-week 20]

Each Monday is run live, at 8 o'clock of that day, on raw data that end there, through the job that the schedule uses. The messages go through the
real client to a server on this machine that speaks Slack's API, and what it received is printed. A few minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from churn_pipeline.core.calendar import monday_on_or_before
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.simulate import SHOCK_KINDS, Simulation, parse_shock, simulate, write
from tests.support.slack_server import CHANNEL, TOKEN, SlackServer
from tests.support.truncation import truncate

WEEK = timedelta(days=7)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=4_000, help="that ever signed up (4000)")
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument("--shock", choices=SHOCK_KINDS, default="usage")
    parser.add_argument(
        "--shock-week", type=int, default=20, help="its first week; the Monday after it is the first to see it"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the home and the messages here")
    arguments = parser.parse_args()

    last = monday_on_or_before(date(2026, 11, 16))
    days = [last - n * WEEK for n in reversed(range(arguments.weeks))]
    shock = parse_shock(f"{arguments.shock}@{arguments.weeks - arguments.shock_week}")
    with tempfile.TemporaryDirectory() as scratch, SlackServer() as slack:
        root = arguments.keep or Path(scratch)
        write(
            simulate(
                Simulation(customers=arguments.customers, weeks=130, until=last, seed=arguments.seed, shocks=(shock,))
            ),
            root,
        )
        printed = 0
        for number, day in enumerate(days, start=1):
            raw = root / "known"
            raw.mkdir(exist_ok=True)
            truncate(root / "raw", raw, day)
            outcome = run_mondays(
                Settings(
                    home=root / "home",
                    raw=raw,
                    now=datetime(day.year, day.month, day.day, 8, tzinfo=UTC),
                    min_train_churners=50,
                    slack_token=SecretStr(TOKEN),
                    slack_channel=CHANNEL,
                    slack_api=slack.api,
                ),
                day,
            )
            print(f"week {number:2} {day}: {'published' if outcome.exit_code == 0 else outcome.reason}")
            for message in slack.messages[printed:]:
                place = "  in its thread" if message.get("thread_ts") else "message"
                print(f"    {place}: {message['text'].splitlines()[0][:200]}")
            printed = len(slack.messages)
        alone = [message for message in slack.messages if not message.get("thread_ts")]
        print(f"{len(alone)} messages and {len(slack.messages) - len(alone)} in threads over {arguments.weeks} weeks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
