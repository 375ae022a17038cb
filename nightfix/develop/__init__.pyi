from .color import (
    COLOR_SPACES as COLOR_SPACES,
)
from .color import (
    SRGB_TO_XYZ as SRGB_TO_XYZ,
)
from .color import (
    ColorSpace as ColorSpace,
)
from .color import (
    usable_matrices as usable_matrices,
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
from .look import (
    LIGHT_SPACE as LIGHT_SPACE,
)
from .look import (
    LOOK_SPACE as LOOK_SPACE,
)
from .look import (
    Look as Look,
)
from .look import (
    color_difference as color_difference,
)
from .look import (
    encode_cube as encode_cube,
)
from .look import (
    encode_look as encode_look,
)
from .look import (
    known_looks as known_looks,
)
from .look import (
    look_path as look_path,
)
from .look import (
    looks_folder as looks_folder,
)
from .look import (
    read_look as read_look,
)
from .look_fit import (
    fit_look as fit_look,
)
from .look_fit import (
    fit_preview as fit_preview,
)
from .look_fit import (
    plain_matrix as plain_matrix,
)
from .look_profile import (
    LookProfile as LookProfile,
)
from .look_profile import (
    profile_difference as profile_difference,
)
from .look_profile import (
    profile_of as profile_of,
)
from .orientation import (
    orient as orient,
)
from .orientation import (
    undo_orientation as undo_orientation,
)
