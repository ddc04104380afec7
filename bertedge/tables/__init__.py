"""A bundle over tables: Parquet, CSV or JSON lines in, a folder of Parquet files out.

The work is imported when it is asked for: a config is made and checked without pyarrow.
"""

from typing import TYPE_CHECKING

from bertedge.lazy import lazy_exports
from bertedge.tables.config import Cluster, TableConfig

if TYPE_CHECKING:
    from bertedge.tables.ray_engine import predict_table_on_ray
    from bertedge.tables.run import PredictedTable, predict_table

__all__ = ["Cluster", "PredictedTable", "TableConfig", "predict_table", "predict_table_on_ray"]

__getattr__ = lazy_exports(
    __name__,
    {"run": ("PredictedTable", "predict_table"), "ray_engine": ("predict_table_on_ray",)},
    extra="tables",
)
