from .amplification import (
    Amplification as Amplification,
)
from .amplification import (
    ExposureTarget as ExposureTarget,
)
from .amplification import (
    choose_amplification as choose_amplification,
)
from .amplification import (
    format_exposure_time as format_exposure_time,
)
from .amplification import (
    parse_exposure_time as parse_exposure_time,
)
from .conditioning import (
    AUTO_STEPS as AUTO_STEPS,
)
from .conditioning import (
    Conditioning as Conditioning,
)
from .conditioning import (
    Settings as Settings,
)
from .conditioning import (
    capture_passes as capture_passes,
)
from .conditioning import (
    ceiling as ceiling,
)
from .conditioning import (
    condition_raw as condition_raw,
)
from .conditioning import (
    detail_share as detail_share,
)
from .conditioning import (
    passes as passes,
)
from .dark import (
    DarkFrames as DarkFrames,
)
from .dark import (
    read_dark_frames as read_dark_frames,
)
from .dark import (
    subtract_dark as subtract_dark,
)
from .hot_pixels import (
    mend_hot_pixels as mend_hot_pixels,
)
from .noise import (
    NoiseModel as NoiseModel,
)
from .noise import (
    choose_noise as choose_noise,
)
from .saturation import (
    clipped_share as clipped_share,
)
from .saturation import (
    find_saturation as find_saturation,
)
from .saturation import (
    saturated_to_white as saturated_to_white,
)
from .saturation import (
    saturation_dn as saturation_dn,
)
