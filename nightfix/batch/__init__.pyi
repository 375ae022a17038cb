from .cluster import (
    RayCluster as RayCluster,
)
from .engine import (
    Engine as Engine,
)
from .engine import (
    Network as Network,
)
from .engine import (
    Outcome as Outcome,
)
from .events import (
    end_event as end_event,
)
from .events import (
    error_event as error_event,
)
from .events import (
    gallery_event as gallery_event,
)
from .events import (
    photo_event as photo_event,
)
from .events import (
    planned_event as planned_event,
)
from .events import (
    progress_event as progress_event,
)
from .events import (
    result_event as result_event,
)
from .events import (
    shard_event as shard_event,
)
from .events import (
    skipped_event as skipped_event,
)
from .events import (
    start_event as start_event,
)
from .gallery import (
    Gallery as Gallery,
)
from .planning import (
    Planned as Planned,
)
from .planning import (
    is_needed as is_needed,
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
    Here as Here,
)
from .runner import (
    enhance_many as enhance_many,
)
from .runner import (
    without_clashes as without_clashes,
)
from .shards import (
    Shard as Shard,
)
from .shards import (
    parse_shard as parse_shard,
)
from .shards import (
    take_share as take_share,
)
from .sources import (
    FoundPhotos as FoundPhotos,
)
from .sources import (
    Photo as Photo,
)
from .sources import (
    find_photos as find_photos,
)
from .sources import (
    split_list as split_list,
)
from .watching import (
    watch as watch,
)
