from .color import (
    COLOR_SPACES as COLOR_SPACES,
)
from .color import (
    SRGB_TO_XYZ as SRGB_TO_XYZ,
)
from .color import (
    ColorSpace as ColorSpace,
)
from .develop import (
    Tone as Tone,
)
from .develop import (
    WhiteBalance as WhiteBalance,
)
from .develop import (
    choose_white_balance as choose_white_balance,
)
from .develop import (
    convert_light as convert_light,
)
from .develop import (
    demosaic_camera as demosaic_camera,
)
from .develop import (
    develop_raw as develop_raw,
)
from .icc import (
    icc_profile as icc_profile,
)
from .lens import (
    Lens as Lens,
)
from .lens import (
    LensCorrection as LensCorrection,
)
from .lens import (
    LensFacts as LensFacts,
)
from .lens import (
    lens_correction as lens_correction,
)
from .lens import (
    other_opcodes as other_opcodes,
)
from .lens import (
    own_correction as own_correction,
)
from .lens import (
    source_area as source_area,
)
from .lens_profile import (
    profiles_installed as profiles_installed,
)
from .orientation import (
    orient as orient,
)
from .orientation import (
    undo_orientation as undo_orientation,
)
