from .camera_shake import (
    MOSAIC_KERNEL as MOSAIC_KERNEL,
)
from .camera_shake import (
    blur as blur,
)
from .camera_shake import (
    random_shake as random_shake,
)
from .config import (
    read_recipe as read_recipe,
)
from .noise import (
    SensorNoise as SensorNoise,
)
from .noise import (
    add_noise as add_noise,
)
from .pairs import (
    Protocol as Protocol,
)
from .pairs import (
    find_pairs as find_pairs,
)
from .pairs import (
    read_pair as read_pair,
)
from .sources import (
    PHOTO_SUFFIXES as PHOTO_SUFFIXES,
)
from .sources import (
    pack_references as pack_references,
)
from .sources import (
    read_photograph as read_photograph,
)
from .trainer import (
    train as train,
)
from .unprocessing import (
    linearize as linearize,
)
from .unprocessing import (
    mosaic_planes as mosaic_planes,
)
from .unprocessing import (
    random_look as random_look,
)
from .unprocessing import (
    to_camera as to_camera,
)
from .unprocessing import (
    uniform as uniform,
)
