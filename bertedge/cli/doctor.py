"""`bertedge doctor`."""

from typing import TYPE_CHECKING

import click

from bertedge.cli import options

if TYPE_CHECKING:
    from bertedge.doctor import Diagnosis, Machine


@click.command(short_help="Find out what can run on this machine.")
@options.json_option
def command(as_json: bool) -> None:
    """Show versions, the CPU's int8 features, cores and providers, and how to fix what is wrong.

    The exit code is 1 where nothing can run.

    \b
    bertedge doctor
    """
    from bertedge import serialization
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.doctor import diagnose

    found = diagnose()
    if as_json:
        show_json(serialization.to_json(found))
    else:
        show(_describe(found))
        if not found.problems:
            say_next(f"bertedge {'finetune' if found.extras.get('train') else 'predict'} --help")
    if not found.usable:
        raise click.exceptions.Exit(1)


def _describe(found: "Diagnosis") -> str:
    versions = [f"{name} {version}" for name, version in found.packages.items() if version]
    extras = [f"{name} {'yes' if there else 'no'}" for name, there in found.extras.items()]
    exact = {True: "exact", False: "saturating", None: "not tried"}[found.int8_exact]
    facts = {
        "bertedge": f"{found.bertedge}, Python {found.python}",
        "system": found.machine.system,
        "CPU": found.machine.cpu,
        "int8": f"{_features(found.machine)}; products {exact}",
        "cores": _cores(found.machine),
        "one text": f"{found.predicting.threads} threads share in it; "
        f"they spin {found.predicting.spinning}",
        "many texts": f"{found.predicting.threads} batches at a time, each on one core",
        "memory": _memory(found.machine),
        "bundles": "replace one as a whole, never write into its files: open predictors map them",
        "packages": ", ".join(versions),
        "extras": ", ".join(extras),
    }
    for provider in found.providers:
        facts[provider.device] = f"{provider.name} {'runs' if provider.runs else 'does not run'}"
    if found.other_providers:
        facts["not used"] = ", ".join(found.other_providers)
    lines = [f"{name:<10} {fact}" for name, fact in facts.items()]
    for problem in found.problems:
        lines += ["", f"problem:   {problem.what}", f"fix:       {problem.fix}"]
    return "\n".join(lines if found.problems else [*lines, "", "no problems found"])


def _memory(machine: "Machine") -> str:
    limit = machine.memory_limit
    group = "" if limit is None else f" (control group allows {limit / 2**30:.1f} GiB)"
    return f"{(machine.memory_bytes or 0) / 2**30:.1f} GiB{group}"


def _features(machine: "Machine") -> str:
    return ", ".join(
        f"{name} {'yes' if there else 'no'}" for name, there in machine.int8_features.items()
    )


def _cores(machine: "Machine") -> str:
    quota = "" if machine.quota is None else f", control group allows {machine.quota:.3g}"
    return f"{machine.cores} for this process (host {machine.host_cores}{quota})"
