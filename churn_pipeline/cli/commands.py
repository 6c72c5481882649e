"""The ``churn`` command. Every command reads its arguments, calls one function and prints; imports wait until they are needed,
because looking up one customer must not pay for Dagster and MLflow."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from churn_pipeline.core.errors import ChurnError, InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.operator import user
from churn_pipeline.core.targets import TARGETS

if TYPE_CHECKING:
    from datetime import date

    from churn_pipeline.contract import Acceptance
    from churn_pipeline.core.settings import Settings
    from churn_pipeline.orchestration.execute import Outcome
    from churn_pipeline.scoring import level

app = typer.Typer(
    name="churn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scores every active customer each Monday: who is about to leave, why, what it costs and what to do.\n\n"
    "All state lies in the home directory (--home, CHURN_HOME), as HOME/data and HOME/mlflow. Every other setting is an "
    "environment variable CHURN_*; docs/settings.md lists them.\n\n"
    "Exit codes: 0 good; 2 bad input or usage; 3 refused (no model for the week, or a gate was not passed); 1 anything else.",
)

# How many objects are made before the youngest are looked through for what can go, and how many times that before older ones are.
_COLLECTIONS = (50_000, 20, 50)

# The home that the command works on, once that is known: where details of its errors go.
_home: Path | None = None

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Directory that holds all state.", show_default="CHURN_HOME")
]
WeekOption = Annotated[str | None, typer.Option("--week", metavar="MONDAY", help="A Monday, YYYY-MM-DD.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help=f"{', '.join(TARGETS)}.")]
AcceptOption = Annotated[
    str | None,
    typer.Option(
        "--accept-change",
        metavar="REASON",
        help="Land the files although the book jumps (docs/operations.md); the reason is kept. The same files pass again without it.",
    ),
]
AcceptLevelOption = Annotated[
    str | None,
    typer.Option(
        "--accept-level",
        metavar="REASON",
        help="Publish the Monday although its mean probability looks impossible (docs/operations.md); the reason is kept. The same Monday "
        "passes again without it, as long as its model is the same.",
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.", show_default="required")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"churn {version('churn-pipeline')}")
        raise typer.Exit


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: expected errors end as one line on stderr and an exit code."""
    # Imports and definitions make a million objects that stay. Python's own rhythm looks through them all again and again, a quarter of the time
    # that imports take.
    gc.set_threshold(*_COLLECTIONS)
    threading.excepthook = lambda problem: _keep_quietly(problem.exc_value)
    sys.unraisablehook = lambda problem: _keep_quietly(problem.exc_value)
    try:
        app()
    except ChurnError as error:
        _complain(str(error))
        _end(error.exit_code)
    except SystemExit as done:
        _end(done.code)
    except BaseException as error:
        from churn_pipeline.core.faults import tell

        # No traceback reaches a person: it says nothing of what to do, and may quote a row.
        _complain(tell(error, _command(), _home))
        _end(1)


def _keep_quietly(error: BaseException | None) -> None:
    """Writes down what failed where nobody waits for it: in a thread, or while Python clears up. What it means is said by whoever does."""
    if error is not None:
        from churn_pipeline.core.faults import keep

        keep(error, _command(), _home)


def _command() -> str:
    """The command, without what was given to it: that may name a customer."""
    words, command = ["churn"], typer.main.get_command(app)
    for word in sys.argv[1:]:
        below = getattr(command, "commands", {})
        if word not in below:
            break
        words.append(word)
        command = below[word]
    return " ".join(words)


def _end(code: object) -> NoReturn:
    """Ends the process without Python's own clearing up.

    A run leaves two million objects behind, and collecting them one last time takes 3 to 4 s of its 15. What has to be closed is closed by
    then: every file, database and lock is held by a ``with``, and what libraries registered for the end is done here.
    """
    if not isinstance(code, int | None):
        sys.exit(str(code))
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            os.write(2, f"churn: what was to be printed could not be written: {error.strerror}\n".encode())
        # Otherwise whoever was reading has gone, as `churn show | head` does.
        os._exit(code or 1)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code or 0)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Directory to write raw/*.parquet and oracle.parquet into.")],
    customers: Annotated[int, typer.Option(min=1, help="Customers that ever signed up.")] = 10_000,
    weeks: Annotated[int, typer.Option(min=1, help="Weeks of history before --until.")] = 104,
    until: Annotated[
        str | None, typer.Option(metavar="MONDAY", help="Data ends before this Monday.", show_default="latest")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same company.")] = 7,
    dirty: Annotated[bool, typer.Option("--dirty", help="Add the dirt that real exports have.")] = False,
    shock: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND@WEEKS",
            help="Something that happens so many weeks before the end; KIND is usage, tier, feed or score. Repeatable.",
        ),
    ] = None,
    call_share: Annotated[
        float, typer.Option(help="Calls its team plans a week, as a share of the book; 0 to 0.05. 0 calls nobody.")
    ] = 0.01,
    family: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The kind of company: health (a hidden health that shows in daily use) or terms (seats, contracts that end on a day, "
            "few visits a week).",
        ),
    ] = "health",
    use: Annotated[
        float, typer.Option(help="How much its customers use the product, 1 as usual; less makes fewer events.")
    ] = 1.0,
    oracle: Annotated[
        bool, typer.Option("--oracle/--no-oracle", help="The true probabilities take most of the time.")
    ] = True,
) -> None:
    """Write a simulated company: raw tables by the contract, and the true probabilities as oracle.parquet.

    Its team calls large accounts whose use fell (raw/interventions.parquet), and some of them stay for it. The oracle has the
    probabilities with these calls, and for 90 days also without any call and with one call in the week of the Monday.
    """
    from churn_pipeline.core.calendar import latest_monday, parse_monday
    from churn_pipeline.simulate import Simulation, parse_shock, simulate_into

    settings = _settings(None)
    monday = parse_monday(until) if until else latest_monday(settings.clock(), settings.timezone)
    written = simulate_into(
        Simulation(
            customers=customers,
            weeks=weeks,
            until=monday,
            seed=seed,
            dirty=dirty,
            shocks=tuple(parse_shock(text) for text in shock or ()),
            call_share=call_share,
            family=family,
            use=use,
        ),
        out,
        _progress(),
        oracle=oracle,
    )
    for path in written:
        typer.echo(path)


@app.command(name="init")
def propose_sources(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the exports lie: CSV, Parquet, JSON lines.")],
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The product that they come from, such as stripe.", show_default="recognised"
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write another file.", show_default="HOME/sources.yml, CHURN_SOURCES")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    home: HomeOption = None,
) -> None:
    """Propose which export is which table and which column is which, as a sources.yml to be read and mended.

    It looks at names, at what the first rows hold and at ids that files share, and recognises what some products export (Stripe,
    Chargebee, HubSpot, Salesforce, Zendesk, Intercom, Segment, Mixpanel, Amplitude, PostHog). Nothing is landed and nothing is asked. What
    it doubts stands beside the lines as a remark, what it did not find as a line that is not in force. Then: churn check.
    """
    from churn_pipeline.cli.proposal import summary_of
    from churn_pipeline.sources.initial import write_proposal

    settings = _settings(home)
    typer.echo(summary_of(write_proposal(settings, folder, preset=preset, out=out, force=force)))


@app.command()
def check(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Directory of raw tables.", show_default="HOME/data/raw")
    ] = None,
    home: HomeOption = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="PAGE", help="Write one HTML page, too.")] = None,
    quarantine: Annotated[
        Path | None,
        typer.Option("--quarantine", metavar="FILE", help="Write the rows and cells that would be put aside, as CSV."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at raw data without landing anything: what would come in, what is wrong, from when on there can be models.

    It needs no home and changes none. What a run would refuse is refused here in the same words, with exit code 2.

    Typical: churn check exports/ --html check.html
    """
    from churn_pipeline.cli.intake import print_intake
    from churn_pipeline.quality.intake import look_at, write_page

    settings = _settings(home, folder)
    intake = look_at(settings, progress=_progress(), quarantine=quarantine)
    if html is not None:
        write_page(intake, html)
    if as_json:
        typer.echo(json_text(intake.to_dict()))
    elif intake.is_usable:
        print_intake(intake)
    for path in (html, quarantine):
        if path is not None:
            typer.echo(f"Wrote {path}", err=True)
    if not intake.is_usable:
        from churn_pipeline.contract.problems import format_problems

        hint = (
            ""
            if quarantine
            else "\nWrite what would be put aside with --quarantine FILE."
            if intake.refused_rows
            else ""
        )
        _fail(format_problems(intake.problems) + hint, InputError.exit_code)


@app.command()
def run(
    week: WeekOption = None,
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Directory of raw tables.", show_default="HOME/data/raw")
    ] = None,
    home: HomeOption = None,
    top: Annotated[int, typer.Option(min=0, help="How many customers to print.")] = 20,
    quiet: Annotated[bool, typer.Option("--quiet", help="Tell nobody in Slack.")] = False,
    accept_change: AcceptOption = None,
    accept_level: AcceptLevelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score one Monday: land, build features, train when due, score, publish. Default: the latest Monday (live)."""
    from churn_pipeline.cli import output
    from churn_pipeline.orchestration.execute import run_mondays

    settings = _settings(home, raw)
    monday = _monday(settings, week)
    has_files = settings.raw_dir.is_dir() and any(settings.raw_dir.iterdir())
    if not has_files and not settings.sources_file.is_file():
        raise InputError(
            f"{settings.raw_dir} holds no raw tables: put yours there (docs/your-data.md), point --raw at them, say with 'churn init' "
            "where they are, or write a "
            f"simulated company with 'churn simulate --out {settings.raw_dir.parent}'"
        )
    outcome = run_mondays(
        settings,
        monday,
        progress=_progress(),
        quiet=quiet,
        acceptance=_acceptance(accept_change),
        level_acceptance=_level_acceptance(accept_level),
        summarize=lambda ended: None if ended.exit_code else output.run_summary(settings, monday, top),
    )
    if outcome.exit_code:
        _fail(_reason(outcome), outcome.exit_code)
    summary = outcome.summary
    typer.echo(json_text(summary, indent=1)) if as_json else output.print_run(summary)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", metavar="MONDAY", help="First Monday, YYYY-MM-DD.")],
    last: Annotated[
        str | None, typer.Option("--to", metavar="MONDAY", help="Last Monday.", show_default="latest")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Score with another model, into predictions_rescored, touching nothing else: champion (today's models), a version, or "
            "TARGET=VERSION,...",
            show_default="the model for each Monday",
        ),
    ] = None,
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Directory of raw tables.", show_default="HOME/data/raw")
    ] = None,
    accept_change: AcceptOption = None,
    accept_level: AcceptLevelOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score past Mondays as they would have been scored then, in one run; each Monday is judged by itself.

    Each gets the model that was, or would have been, in force. Where that one was never trained, it is trained now, on what was known
    then. A Monday that cannot be scored stays empty and is named; the others go on. The exit code is that of the worst Monday, or of
    what else failed.
    """
    from churn_pipeline.cli import output
    from churn_pipeline.orchestration.execute import rescore_mondays, run_mondays

    settings = _settings(home, raw)
    start, end = _monday(settings, first), _monday(settings, last)
    if end < start:
        raise InputError(f"--from {start} lies after --to {end}")
    if model is not None:
        if accept_change is not None:
            raise InputError("--accept-change is about what is landed, and --model lands nothing")
        if accept_level is not None:
            raise InputError("--accept-level is about lists that are published, and --model judges no level")
        outcome = rescore_mondays(
            settings,
            start,
            end,
            model,
            progress=_progress(),
            summarize=lambda ended: output.rescored_weeks(settings, ended.run_id, ended.mondays),
        )
    else:
        outcome = run_mondays(
            settings,
            start,
            end,
            progress=_progress(),
            acceptance=_acceptance(accept_change),
            level_acceptance=_level_acceptance(accept_level),
            summarize=lambda ended: output.backfill_weeks(settings, ended.mondays),
        )
    weeks = outcome.summary
    if weeks:
        typer.echo(json_text(weeks, indent=1)) if as_json else output.print_weeks(weeks)
    if outcome.exit_code:
        _fail(_reason(outcome), outcome.exit_code)


@app.command()
def policy(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check the policy: the CSV files in dbt_project/seeds, with those of HOME/policy in their place. What a run would refuse is named here
    in seconds; no home is touched."""
    import shutil
    import tempfile

    from churn_pipeline.cli import output
    from churn_pipeline.orchestration.dbt import InProcessDbt

    own = _settings(home).policy
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder))
        settings.data.mkdir()
        if own.is_dir():
            shutil.copytree(own, settings.policy)
        failures = InProcessDbt(settings).policy_failures()
        folder_of_seeds = own if own.is_dir() else settings.dbt_source / "seeds"
    typer.echo(json_text([asdict(failure) for failure in failures], indent=1)) if as_json else output.print_policy(
        folder_of_seeds, failures
    )
    if failures:
        raise typer.Exit(InputError.exit_code)


@app.command(name="replay-report")
def replay_report(
    first: Annotated[str, typer.Option("--from", metavar="MONDAY", help="First Monday, YYYY-MM-DD.")],
    last: Annotated[
        str | None, typer.Option("--to", metavar="MONDAY", help="Last Monday.", show_default="latest")
    ] = None,
    capacity: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Calls a week: how much of the list is judged.",
            show_default="all of it; 200 where there was no call list",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the page.", show_default="HOME/data/published/replay")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the lists of past Mondays were worth, with the truth known today: a table here, a page with plots as HTML.

    Each Monday's list is compared with logistic regression, a rule and chance, all with as many calls. Mondays that are not in the table
    ('churn backfill' fills them) and windows that are still open are shown as such.
    """
    from churn_pipeline.cli import output
    from churn_pipeline.cli.run import report_replay

    settings = _settings(home)
    replay, page = report_replay(
        settings, _monday(settings, first), _monday(settings, last), capacity=capacity, folder=out, waiting=_complain
    )
    typer.echo(json_text(replay.to_dict(), indent=1)) if as_json else output.print_replay(replay, page)


@app.command()
def rollback(
    target: TargetArgument,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION", help="Version to go back to, as 'churn models' lists it.", show_default="the one before"
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="The same as VERSION.", show_default="the one before")
    ] = None,
    reason: ReasonOption = "",
    home: HomeOption = None,
) -> None:
    """Put an earlier model back in force, from this Monday on. 'churn run' then scores this Monday again."""
    if version is not None and to is not None and version != to:
        raise InputError(f"VERSION is {version} and --to is {to}; give one of them")
    _decide(target, version if version is not None else to, "rollback", reason, home)


@app.command()
def promote(
    target: TargetArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As 'churn models' lists it.")],
    reason: ReasonOption = "",
    home: HomeOption = None,
) -> None:
    """Put a registered model in force, from this Monday on, whatever its gate said."""
    _decide(target, version, "promote", reason, home)


@app.command()
def train(week: WeekOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Train, judge and register a model for each target, as of the training Monday of a week."""
    from churn_pipeline.cli import output
    from churn_pipeline.orchestration.execute import train_monday

    settings = _settings(home)
    outcome, rows = train_monday(settings, _monday(settings, week), user(), progress=_progress())
    if outcome.exit_code:
        _fail(_reason(outcome), outcome.exit_code)
    typer.echo(json_text(rows, indent=1)) if as_json else output.print_models(rows)
    problems = [f"{row['target']}: {row['reason']}" for row in rows if not row["promoted"]]
    if problems:
        _fail("; ".join(problems), 3)


@app.command()
def models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List every registered model with its verdict, newest first."""
    from churn_pipeline.cli import output

    rows = output.model_rows(_settings(home))
    typer.echo(json_text(rows, indent=1)) if as_json else output.print_models(rows)


@app.command()
def publish(
    week: WeekOption = None,
    administrator: Annotated[
        bool,
        typer.Option(
            "--administrator",
            help="Print instead what an administrator of PostgreSQL runs once: churn publish --administrator | psql -d DATABASE.",
        ),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy what is published to PostgreSQL for dashboards (CHURN_PUBLISH_URL): what it missed, and --week whatever it has."""
    from dataclasses import asdict

    from churn_pipeline.core.home import open_home
    from churn_pipeline.delivery.postgres.publish import publish as publish_to_postgres

    settings = _settings(home)
    if administrator:
        from churn_pipeline.delivery.postgres.rights import administrator_script

        url = settings.publish_url
        typer.echo(administrator_script(url.get_secret_value() if url else None), nl=False)
        return
    if settings.publish_url is None:
        raise InputError("CHURN_PUBLISH_URL is not set, so there is nowhere to publish to; see docs/postgresql.md")
    open_home(settings, "churn publish", _complain)
    mondays = [_monday(settings, week)] if week else []
    done = publish_to_postgres(settings.publish_url.get_secret_value(), settings, mondays, progress=_progress())
    for notice in done.notices:
        _complain(notice)
    if as_json:
        rows = {str(day): rows for day, rows in done.rows.items()}
        typer.echo(json_text(asdict(done) | {"rows": rows}, indent=1))
        return
    for day, customers in done.rows.items():
        typer.echo(f"{day}  {customers:,} customers" + ("  (had been missed)" if day in done.caught_up else ""))
    typer.echo(
        f"{done.server}: replaced {len(done.rows)} of {done.weeks} Mondays in schema churn, revision {done.revision}"
        + ("" if done.rows else "; it had them all")
    )


@app.command()
def show(
    week: WeekOption = None,
    top: Annotated[int, typer.Option(min=1, help="How many customers.")] = 20,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Only the customers of this customer success manager: the name, or how it begins, without regard to accents and case."
        ),
    ] = None,
    tier: Annotated[str | None, typer.Option(help="Only the customers of this risk tier.")] = None,
    written: Annotated[
        bool,
        typer.Option("--written", help="The second list instead: in an urgent tier, and written to instead of called."),
    ] = False,
    notices: Annotated[
        bool, typer.Option("--notices", help="Print what was found about data and models instead, all of it.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a published call list, first call first: why each is called, the main reason and what to do."""
    from churn_pipeline.cli import output

    settings = _settings(home)
    if notices:
        of_week = output.week_notices(settings, _published_monday(week))
        typer.echo(json_text(of_week, indent=1)) if as_json else output.print_notices(of_week)
        return
    listing = output.call_list(settings, _published_monday(week), top, owner, tier=tier, written=written)
    typer.echo(json_text(listing, indent=1)) if as_json else output.print_call_list(listing)


@app.command()
def customer(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="CUSTOMER",
            help="customer_id as in the raw data; or the company's name, or how it begins, without regard to accents and case.",
        ),
    ],
    week: WeekOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is published about one customer: probability, money, renewal, reasons, what to say and do, what changed."""
    from churn_pipeline.cli import output

    profile = output.customer(_settings(home), wanted, _published_monday(week))
    typer.echo(json_text(profile, indent=1)) if as_json else output.print_customer(profile)


@app.command()
def predict(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="CUSTOMER",
            help="customer_id as in the raw data; or the company's name, or how it begins, without regard to accents and case.",
        ),
    ],
    week: WeekOption = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="TARGET", help=f"{', '.join(TARGETS)}.", show_default="all of churn"),
    ] = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            metavar="FEATURE=VALUE",
            help="Ask the models again with another value, as --what-if events_last_30d=40; null is not known. Repeatable.",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is predicted of one customer, why, and by which models; or what the models would say with other values.

    With --what-if the models of that Monday are asked twice, with the published features and with yours. The first answer has to be the
    published probability, to the bit. The second is what the model says, and no promise: nobody leaves or stays because a number in a table changes.
    """
    from churn_pipeline.cli import prediction

    settings, monday = _settings(home), _published_monday(week)
    if what_if:
        answer = prediction.what_if(settings, wanted, monday, target, what_if)
        typer.echo(json_text(answer, indent=1)) if as_json else prediction.print_what_if(answer)
        return
    predicted = prediction.predicted(settings, wanted, monday, target)
    typer.echo(json_text(predicted, indent=1)) if as_json else prediction.print_predicted(predicted)


@app.command()
def brief(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="CUSTOMER",
            help="customer_id as in the raw data; or the company's name, or how it begins, without regard to accents and case.",
        ),
    ],
    audience: Annotated[
        Literal["ae", "csm"],
        typer.Option("--for", help="Who reads it: the account executive who sells, or the customer success manager."),
    ] = "ae",
    email: Annotated[
        bool,
        typer.Option("--email", help="With a three-sentence e-mail to the customer; only for the account executive."),
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Ask no language model, although CHURN_BRIEF_URL names one.")
    ] = False,
    week: WeekOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a brief about a customer who may move to a higher plan: why now, what to lead with, what to settle first, the next step.

    It says what is published and nothing else. A language model (CHURN_BRIEF_URL, docs/briefs.md) puts it into sentences, and sees
    neither names nor ids; without one, or when it fails, a template does, which the brief says. Every text goes through the guardrails,
    and every call into HOME/data/briefs/audit.jsonl. Read the brief before you use it.

    For whom the propensity is too low, or nobody may sell now, there is none: exit code 3.
    """
    from churn_pipeline.cli import brief as briefs

    if email and audience == "csm":
        raise InputError(
            "--email is for the account executive: a success manager's brief has no e-mail. Take one of the two out"
        )
    written = briefs.write(_settings(home), wanted, audience, _published_monday(week), email=email, template=template)
    typer.echo(json_text(briefs.as_dict(written), indent=1)) if as_json else briefs.print_brief(written)


@app.command()
def forget(
    customer_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="customer_id as in the raw data.", show_default=False)
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept beside the hash of the id, so it may name nobody.")
    ] = "erasure was asked for",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before erasing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be erased; change nothing.")] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="List who was forgotten, as hashes: when, why, how much.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Erase everybody on the list who is back, as after a backup was restored."),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer from every file, table, outbox and report of the home, and keep them out from now on.

    First the customer goes on a list that holds only a keyed hash of the id; every landing drops the rows of whoever is on it.
    Then everything about them is taken out, and the files are written anew so that not even deleted bytes remain. Models,
    aggregates and the rows and ranks of other customers stay as they are. The raw files are yours and are not changed.

    Interrupted, the same command finishes it. docs/privacy.md says what is kept where. Exit code 2: nobody knows such an id.
    """
    from churn_pipeline.cli import erasure
    from churn_pipeline.privacy import erase as erasing

    settings = _settings(home)
    if sum((customer_id is not None, listing, again)) != 1 or (dry_run and customer_id is None):
        raise InputError(
            "give an ID, or --list, or --again; --dry-run goes with an ID. 'churn forget --help' explains them"
        )
    if listing:
        rows = erasing.listed(settings)
        typer.echo(json_text(rows, indent=1)) if as_json else erasure.print_list(rows)
        return
    who = user()
    if customer_id is None:
        summary = erasing.again(settings, who=who, say=_progress(), waiting=_complain)
        if not as_json:
            typer.echo(f"{summary.customers:,} customer(s) on the list were back.")
    elif dry_run:
        summary = erasing.preview(settings, customer_id)
    else:
        if not yes:
            erasure.print_erasure(erasing.preview(settings, customer_id), done=False)
            if not sys.stdin.isatty():
                raise InputError("nothing was erased: nobody can be asked here, so add --yes")
            typer.confirm("Erase all of this? It cannot be undone", abort=True)
        summary = erasing.forget(settings, customer_id, reason=reason, who=who, say=_progress(), waiting=_complain)
    typer.echo(json_text(erasure.as_dict(summary), indent=1)) if as_json else erasure.print_erasure(
        summary, done=not dry_run
    )


slack = typer.Typer(help="Try Slack out, and send what waits.", no_args_is_help=True)
app.add_typer(slack, name="slack")


@slack.command()
def test(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Send a sample digest to Slack and say what came of it. Without Slack its Block Kit JSON is printed."""
    from churn_pipeline.core.calendar import latest_monday
    from churn_pipeline.delivery.announce import slack_config
    from churn_pipeline.delivery.slack.blocks import sample_digest
    from churn_pipeline.delivery.slack.notify import send_sample
    from churn_pipeline.policy import tiers

    settings = _settings(home)
    config = slack_config(settings)
    sample = sample_digest(latest_monday(settings.clock(), settings.timezone), tiers.declared(settings.dbt_project))
    delivery, message = send_sample(config, sample)
    if as_json or config.way == "none":
        typer.echo(message.builder_json())
    _complain(str(delivery))
    if delivery.state == "failed":
        raise typer.Exit(1)


@slack.command()
def send(home: HomeOption = None) -> None:
    """Send what waits in HOME/data/outbox."""
    from churn_pipeline.delivery.announce import outbox_of, slack_config
    from churn_pipeline.delivery.slack.notify import send_waiting
    from churn_pipeline.delivery.webhook import notify as webhook

    settings = _settings(home)
    flushed = send_waiting(outbox_of(settings), slack_config(settings))
    if flushed.state == "failed":
        _fail(str(flushed), 1)
    typer.echo(str(flushed))
    handed = webhook.send_waiting(settings)
    if handed.sent or handed.waiting:
        typer.echo(
            f"webhook: {len(handed.sent)} sent, {handed.waiting} waiting{''.join(f'; {p}' for p in handed.problems)}"
        )
    if flushed.waiting or handed.waiting:
        raise typer.Exit(1)


@app.command()
def ui(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the web page, on this machine only; 0 takes a free one.")
    ] = 3000,
    home: HomeOption = None,
) -> None:
    """Open the Dagster UI on this home, with the schedule's daemon. Ends with Ctrl-C.

    It prints the address that opens the page. The address works once; when it was used the next one is printed, for another browser.
    """
    from churn_pipeline.orchestration.execute import prepare_home
    from churn_pipeline.orchestration.web.server import serve_home

    settings = _settings(home)
    prepare_home(settings, _complain)
    written: set[Path] = set()

    def tell(address: str) -> None:
        if (file := _tell_address(address, settings.dagster_home)) is not None:
            written.add(file)

    try:
        serve_home(settings, port, tell)
    finally:
        for file in written:
            file.unlink(missing_ok=True)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen. Anywhere but on this machine only with CHURN_API_TOKENS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8787,
    home: HomeOption = None,
) -> None:
    """Answer what is published over HTTP, read only: predictions, Customer 360, lists. Ends with Ctrl-C.

    It needs the extra api. The routes stand under /docs, and in docs/api.md how to ask. It changes nothing that is published, and answers a new
    publication from the request on that follows it.
    """
    settings = _settings(home)
    try:
        from churn_pipeline.api.server import serve as serve_api
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in ("fastapi", "starlette", "prometheus_client", "uvicorn"):
            raise
        raise InputError(
            f"the API needs {missing.name}, which is not installed: pip install 'churn-pipeline[api]'"
        ) from None

    def tell(address: str) -> None:
        typer.echo(f"The API answers at  {address}  (its page: {address}/docs)")
        if not settings.tokens_of_api:
            typer.echo("Without CHURN_API_TOKENS every user of this machine can ask.")
        sys.stdout.flush()

    serve_api(settings, host, port, tell)


def _tell_address(address: str, folder: Path) -> Path | None:
    """Prints the address. Where output goes to a file or a journal others may read it, and it opens the page: there it stands in a file of
    this port, which is returned."""
    from urllib.parse import urlsplit

    from churn_pipeline.core.atomic import replace_bytes

    if sys.stdout.isatty():
        typer.echo(f"The Dagster UI is open once at  {address}")
        return None
    file = folder / f"ui-address-{urlsplit(address).port}"
    replace_bytes(file, f"{address}\n".encode(), mode=0o600)
    typer.echo(f"The address that opens the Dagster UI once stands in {file}")
    sys.stdout.flush()
    return file


def _decide(
    target: str, version: str | None, decision: Literal["rollback", "promote"], reason: str, home: Path | None
) -> None:
    from churn_pipeline.cli.run import decide_model

    row, notice = decide_model(
        _settings(home),
        target,
        version,
        decision=decision,
        reason=reason,
        who=user(),
        waiting=_complain,
    )
    if notice:
        _complain(notice)
    before = row.metrics["instead_of"]
    typer.echo(
        f"{row.target}: version {row.version} is in force from {row.effective_from} on"
        + (f", instead of version {before}" if before else "")
        + ". Earlier Mondays keep their model. 'churn run' scores this Monday again."
    )


def _settings(home: Path | None, raw: Path | None = None) -> Settings:
    from churn_pipeline.core.settings import settings_of

    global _home
    settings = settings_of(**{name: value for name, value in (("home", home), ("raw", raw)) if value is not None})
    _home = settings.home
    return settings


def _monday(settings: Settings, week: str | None) -> date:
    from churn_pipeline.core.calendar import latest_monday, parse_monday

    latest = latest_monday(settings.clock(), settings.timezone)
    if week is None:
        return latest
    monday = parse_monday(week)
    if monday > latest:
        raise InputError(f"{monday} has not begun; the latest Monday is {latest}")
    if monday < settings.first_monday:
        raise InputError(f"{monday} lies before CHURN_FIRST_MONDAY, {settings.first_monday}")
    return monday


def _published_monday(week: str | None) -> date | None:
    from churn_pipeline.core.calendar import parse_monday

    return parse_monday(week) if week else None


def _acceptance(reason: str | None) -> Acceptance | None:
    from churn_pipeline.contract import Acceptance

    return None if reason is None else Acceptance(reason, user())


def _level_acceptance(reason: str | None) -> level.Acceptance | None:
    if reason is None:
        return None
    from churn_pipeline.scoring.level import Acceptance

    return Acceptance(reason, user())


def _progress() -> Callable[[str], None]:
    """One line a stage on stderr, with the seconds since the start; standard output stays clean for the result."""
    import time

    start = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - start:6.1f} s  {text}", err=True)

    return say


def _complain(text: str) -> None:
    typer.echo(f"churn: {text}", err=True)


def _reason(outcome: Outcome) -> str:
    """Why a run failed. Details of what nobody expected go to a file, which is named."""
    if not outcome.details:
        return outcome.reason
    from churn_pipeline.core.faults import write_details

    return f"{outcome.reason}. {write_details(outcome.details, _command(), _home)}"


def _fail(text: str, exit_code: int) -> NoReturn:
    _complain(text)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    main()
