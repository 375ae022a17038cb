from .compare import (
    read_picture as read_picture,
)
from .compare import (
    split as split,
)
from .fingerprint import (
    settings_fingerprint as settings_fingerprint,
)
from .look import (
    Learned as Learned,
)
from .look import (
    export_cube as export_cube,
)
from .look import (
    export_profile as export_profile,
)
from .look import (
    learn_look as learn_look,
)
from .look import (
    look_of as look_of,
)
from .look import (
    new_look_path as new_look_path,
)
from .look import (
    save_look as save_look,
)
from .options import EnhanceOptions as EnhanceOptions
from .pairs import (
    BeforeAfter as BeforeAfter,
)
from .pairs import (
    before_after as before_after,
)
from .pairs import (
    easiest_to_show as easiest_to_show,
)
from .photo import (
    Prepared as Prepared,
)
from .photo import (
    Result as Result,
)
from .photo import (
    enhance as enhance,
)
from .photo import (
    missing_outputs as missing_outputs,
)
from .photo import (
    output_names as output_names,
)
from .photo import (
    prepare as prepare,
)
from .photo import (
    restore as restore,
)
from .photo import (
    write as write,
)
from .region import (
    preview as preview,
)
from .region import (
    side_by_side as side_by_side,
)
from .sensor import (
    Levels as Levels,
)
from .sensor import (
    levels_of as levels_of,
)
from .sensor import (
    mend_sensor as mend_sensor,
)
from .sensor import (
    say_black as say_black,
)
from .sensor import (
    say_saturation as say_saturation,
)
from .summary import (
    ORIGINS as ORIGINS,
)
from .summary import (
    camera_name as camera_name,
)
