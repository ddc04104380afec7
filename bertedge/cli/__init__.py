"""The command line: one file a verb; each imports its work when it is called."""

import errno
import importlib

import click

from bertedge import __version__
from bertedge.cli.progress import end_line
from bertedge.errors import BertedgeError

VERBS = ("pretrain", "finetune", "export", "evaluate", "predict", "bench", "inspect", "doctor")


class Verbs(click.Group):
    """A group that loads verbs when asked for, and shows our errors as one line, exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and return its `command`."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"bertedge.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; a BertedgeError or Ctrl-C becomes one line on stderr."""
        try:
            return super().invoke(ctx)
        except BertedgeError as error:
            end_line()
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            end_line()
            raise click.ClickException("interrupted; nothing half-written was left") from None
        except OSError as error:
            if error.errno != errno.ENOSPC:  # a closed pipe is click's to handle
                raise
            end_line()
            raise click.ClickException(
                "standard output could not be written: no space is left on its device"
            ) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bertedge")
def main() -> None:
    """Fine-tune a BERT, export it as a verified int8 ONNX bundle, run it without torch.

    \b
    labelled file --finetune--> checkpoint --export--> bundle --predict--> labels
    """
