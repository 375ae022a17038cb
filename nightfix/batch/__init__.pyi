from .planning import (
    Planned as Planned,
)
from .planning import (
    plan as plan,
)
from .planning import (
    seconds_per_pixel as seconds_per_pixel,
)
from .planning import (
    with_sizes as with_sizes,
)
from .runner import (
    Outcome as Outcome,
)
from .runner import (
    enhance_many as enhance_many,
)
from .runner import (
    without_clashes as without_clashes,
)
from .sources import (
    Gathered as Gathered,
)
from .sources import (
    Photo as Photo,
)
from .sources import (
    gather as gather,
)
from .sources import (
    split_list as split_list,
)
from .watching import (
    watch as watch,
)
