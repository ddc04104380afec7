"""How a table is read, predicted and written."""

from dataclasses import dataclass

from bertedge.columns import Columns
from bertedge.errors import SettingError

ROWS_PER_SHARD = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig:
    """What is kept of a table's columns, and how its predictions are written.

    Raises SettingError for numbers below 1.
    """

    keep: tuple[str, ...] | None = None
    """Columns of the input that stand before the predictions; None: all."""
    prefix: str = ""
    """Of the names of predicted columns."""
    rows_per_shard: int = ROWS_PER_SHARD
    """Rows of a Parquet file; a killed run loses no more than these."""
    columns: Columns = Columns()  # noqa: RUF009 (frozen)
    """Where the texts stand."""
    aggregation: str | None = None
    """How tokens become entities."""
    top_k: int | None = None
    """How many tokens a mask gets, or answers a question."""
    token_budget: int | None = None
    """Tokens in a batch; None: the device's."""
    chunk: int = 1024
    """Rows that are read at a time."""
    overwrite: bool = False
    """Whether an earlier table in the folder is deleted first, finished or not."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("rows_per_shard", "chunk"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; give 1 or more")

    @property
    def identity(self) -> dict[str, str | int | None]:
        """What two runs have in common whose files belong to one table."""
        return {
            "keep": "all" if self.keep is None else ",".join(self.keep),
            "prefix": self.prefix,
            "rows_per_shard": self.rows_per_shard,
            "text_column": self.columns.text,
            "pair_column": self.columns.pair,
            "aggregation": None if self.aggregation is None else str(self.aggregation),
            "top_k": self.top_k,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the actors of Ray run, how many there are, and what each opens.

    Raises SettingError for numbers below 1.
    """

    address: str | None = None
    """HOST:PORT of a cluster, or auto; None: RAY_ADDRESS, or else this machine alone."""
    actors: int | None = None
    """Processes with a predictor each; None: as many as the nodes have cores for."""
    threads: int = 1
    """Of each actor."""
    variant: str | None = None
    """Of the bundle; None: the fastest for a CPU."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in (("actors", self.actors), ("threads", self.threads)):
            if value is not None and value < 1:
                raise SettingError(f"{name} is {value}; give 1 or more")
