"""Options and output of the command ``chaos``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data import cli_options
from data.addresses import local_path
from data.command_line import plain_errors
from data.exit_status import FAILED
from data.store_address import usual_uri
from experiments.cli.options import Naming

#: Seconds; exceeds the time limits of all frameworks, the longest of which is five minutes.
_TIME_LIMIT = 600.0


@cli_options.takes(Naming, *cli_options.ALL)
def chaos(
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Framework; repeat the option for several. By default all."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="executor-killed, python-worker-killed, executor-paused, host-gone, "
            "driver-killed, driver-jvm-killed, harness-killed, hangup, straggler, network-cut, "
            "tracking-down, disk-full, corrupt-row or corrupt-file; repeat the option for several. "
            "By default all."
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Experiment file, or the name of a shipped experiment.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder with your images.")] = None,
    epochs: Annotated[
        int, typer.Option(min=2, help="Number of epochs; faults are injected in the second.")
    ] = 4,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of executors, each with one core.")
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(
            help="Folder of 'sparkdl-bench deploy cluster up'; by default a cluster is started on "
            "this machine."
        ),
    ] = None,
    outage_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds for which the tracking server is down.")
    ] = 60.0,
    cut_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds for which a host is cut off from the network.")
    ] = 20.0,
    pause_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds for which an executor is stopped.")
    ] = 20.0,
    time_limit: Annotated[
        float, typer.Option(min=1, help="Seconds after which a run is considered hung.")
    ] = _TIME_LIMIT,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Value for any key of the experiment, with dots."
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow server or database for the tables.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="New folder for the tables, and for records and logs of all runs.")
    ] = Path("chaos"),
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Inject faults into runs of every backend and report the outcomes."""
    with plain_errors():
        output = local_path(output)
        from chaos.campaign import campaign
        from chaos.faults import FAULTS, fault_names
        from chaos.hosts import read_hosts
        from chaos.record import record_tables
        from chaos.run_under_test import Conditions
        from chaos.table import terminal, write_tables
        from data.storage import absolute
        from experiments.cli.console import plain_console
        from experiments.errors import ExperimentError
        from experiments.folders import writable_folder
        from experiments.loading import load
        from experiments.overrides import given
        from experiments.tracking.recorder import check_reachable

        faults = fault or list(fault_names())
        if unknown := [name for name in faults if name not in FAULTS]:
            raise ExperimentError(f"unknown fault '{unknown[0]}' (faults: {', '.join(FAULTS)})")
        output = writable_folder("--output", output)
        hosts = read_hosts(cluster) if cluster else None
        options = {"--data": data and absolute(data), "--workers": workers, **data_options}
        chosen = given(options, set_)
        overrides: dict[str, Any] = {
            "epochs": epochs,
            "time_limit": time_limit,
            "backends": backend or ["all"],
            **chosen,
            **(hosts.overrides if hosts else {}),
        }
        from experiments.own_data.settings import read_data

        plan, lines = read_data(load(experiment, overrides))
        store = tracking_uri or usual_uri()
        check_reachable(store)
        console = plain_console(sys.stdout)
        for line in lines:
            console.print(line)
        outcomes = campaign(
            plan,
            plan.backends,
            list(dict.fromkeys(faults)),
            output,
            conditions=Conditions(
                outage_s=outage_seconds, cut_s=cut_seconds, pause_s=pause_seconds
            ),
            hosts=hosts,
            report=console.print,
            keep=lambda known: write_tables(known, output),
        )
        record_tables(plan, outcomes, output, store)
        console.print(terminal(outcomes))
        console.print(f"tables, records and logs: {output}")
        if any(one.bad for one in outcomes):
            raise typer.Exit(FAILED)
