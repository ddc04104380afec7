"""Help under headings: the common options on one screen, all of them for `--help-all`."""

from collections.abc import Mapping
from typing import Any

import click

MORE = "More"
"""Heading of the last section, of what has no other."""
_OUTPUT = "Output"
"""Heading of the last but one."""
_HELP_ALL = "help_all"
_IN_FULL = "bertedge.help_in_full"
"""Key of `click.Context.meta`."""


class Sectioned(click.Command):
    """A command whose help has its options in sections.

    Options that no section names are shown by `--help-all`, which exists where there are such.
    """

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, tuple[str, ...]],
        groups: Mapping[str, tuple[str, ...]] | None = None,
        renamed: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what click.Command takes, and the names of parameters by heading.

        `groups` are the headings, in `--help-all`, of parameters that no section names.
        `renamed` are flags of version 0.1 and what they are called now.
        """
        super().__init__(*args, **kwargs)
        self.sections, self.groups, self.renamed = sections, groups or {}, renamed or {}
        named = {name for names in sections.values() for name in names}
        if any(isinstance(p, click.Option) and p.name not in named for p in self.params):
            self.params.append(_help_all())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; where several are missing, name them all."""
        given = list(args)  # click takes them out of its list
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.renamed:
                told = f"{error.option_name} is now called {self.renamed[error.option_name]}"
                raise click.UsageError(f"no such option: {told}", ctx) from None
            raise
        except click.MissingParameter:
            found, _, _ = self.make_parser(ctx).parse_args(given)
            required = (each for each in self.get_params(ctx) if each.required)
            # Where nothing was given, the parser has nothing or a mark of its own.
            missing = [p for p in required if not isinstance(found.get(p.name), str | tuple | list)]
            if len(missing) < 2:
                raise
            names = [
                f"--{each.name}" if isinstance(each, click.Option) else each.make_metavar(ctx)
                for each in missing
            ]
            raise click.UsageError(f"{' and '.join(names)} are missing", ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections, and where they were asked for the groups and all the rest; help."""
        options = {p.name: p for p in self.get_params(ctx) if isinstance(p, click.Option)}
        shown = {
            heading: [options.pop(name) for name in names]
            for heading, names in self.sections.items()
        }
        in_full, helping = ctx.meta.get(_IN_FULL), self.get_help_option(ctx)
        for heading, names in self.groups.items() if in_full else ():
            more = [options.pop(name) for name in names if name in options]
            shown[heading] = [*shown.get(heading, []), *more]
        last = (_HELP_ALL, helping.name if helping else None)
        rest = [p for p in options.values() if in_full or p.name in last]
        output, more = shown.pop(_OUTPUT, []), shown.pop(MORE, [])
        shown |= {_OUTPUT: output, MORE: [*more, *rest]}
        for heading, group in ((heading, group) for heading, group in shown.items() if group):
            with formatter.section(heading):
                formatter.write_dl([row for p in group if (row := p.get_help_record(ctx))])


def _help_all() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            ctx.meta[_IN_FULL] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return click.Option(
        ["--help-all", _HELP_ALL],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the rarer options too.",
    )
