from .benchmark import (
    BenchmarkCase as BenchmarkCase,
)
from .benchmark import (
    ClusterMeasurement as ClusterMeasurement,
)
from .benchmark import (
    Measurement as Measurement,
)
from .benchmark import (
    as_json as as_json,
)
from .benchmark import (
    measure_all as measure_all,
)
from .benchmark import (
    measure_batch as measure_batch,
)
from .benchmark import (
    measure_cluster as measure_cluster,
)
from .benchmark import (
    measure_darktable as measure_darktable,
)
from .benchmark import (
    processor_name as processor_name,
)
from .benchmark import (
    scales_to as scales_to,
)
from .cases import (
    real_cases as real_cases,
)
from .cases import (
    synthetic_cases as synthetic_cases,
)
from .report import (
    Row as Row,
)
from .report import (
    evaluate as evaluate,
)
from .scene import (
    capture as capture,
)
