"""Settings of the labelled files."""

from dataclasses import dataclass, field
from pathlib import Path

from bertedge.columns import BadRows, Columns
from bertedge.errors import SettingError
from bertedge.fields import about, setting
from bertedge.spec import ProblemType, Task

FORMATS = ("csv", "tsv", "excel", "label-text", "jsonl", "conll", "squad")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on, how it is read, and where the checkpoint goes."""

    task: Task = field(
        metadata=about(
            "text- or token-classification, intent-slots …",
            metavar="NAME",
            unset="as the file shows",
        )
    )
    problem_type: ProblemType = setting(
        ProblemType.SINGLE_LABEL, "multi_label_classification, regression.", metavar="NAME"
    )
    """Of text classification: one label a text, several, or a value."""
    train: Path = field(metadata=about("Labelled file: CSV, TSV, JSON lines, CoNLL; also .gz."))
    dev: Path | None = setting(None, "Labelled file that chooses the best epoch.")
    dev_share: float | None = setting(
        None, "Instead: share of train.", metavar="X", unset="0.1 of 200 rows or more", ge=0, le=0.9
    )
    """Held out of the training file, of each label alike; 0 trains on all rows."""
    output: Path = field(metadata=about("Directory for the checkpoint."))
    text_column: str | None = setting(None, "Text, or tokens; name or number.", metavar="NAME")
    pair_column: str | None = setting(None, "Second text of a pair.", metavar="NAME")
    label_column: str | None = setting(None, "Label, labels, value, or tags.", metavar="NAME")
    intent_column: str | None = setting(None, "Intent, beside the tags.", metavar="NAME")
    label_separator: str | None = setting(None, "Between several labels of a text.", unset="comma")
    separator: str | None = setting(None, "tab, comma, space … or itself.")
    header: bool | None = setting(None, "First line names columns?", negative="no-header")
    format: str | None = setting(None, "If the extension misleads.", choices=FORMATS)
    encoding: str | None = setting(
        None, "Of a text file: cp1252, gb18030 …", metavar="NAME", unset="utf-8"
    )
    sheet: str | None = setting(None, "Of an Excel workbook.", metavar="NAME", unset="the first")
    label_map: Path | None = setting(None, "JSON or two columns: the file's label, the model's.")
    bad_rows: BadRows = setting(
        BadRows.ERROR, "skip: leave them out and count them.", choices=tuple(BadRows)
    )
    """Whether rows that cannot be read are an error, or are left out and counted."""
    cache: bool = setting(True, "Keep tokenized rows of large files.", negative="no-cache")
    """In the user's cache folder, for the next run on the same file; 4 GiB at most."""
    out_of_scope: str | None = setting(
        None, "Label of texts that none of ours fits.", metavar="LABEL"
    )
    """No row with it is trained on; a threshold chosen on the dev data gives it to texts of low
    scores."""

    @property
    def holds_out(self) -> bool:
        """Whether the dev data are to be a share of the training file."""
        return self.dev is None and self.dev_share != 0

    def columns(self) -> Columns:
        """Return how the files are read."""
        return Columns(
            text=self.text_column,
            pair=self.pair_column,
            label=self.label_column,
            intent=self.intent_column,
            separator=self.separator,
            header=self.header,
            format=self.format,
            label_separator=self.label_separator,
            encoding=self.encoding,
            sheet=self.sheet,
            bad_rows=self.bad_rows,
        )


def check_data(config: DataConfig) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.dev is not None and config.dev_share:
        raise SettingError(
            f"dev_share is {config.dev_share:g}, but the dev data are {config.dev}; leave one out"
        )
