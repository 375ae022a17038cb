from .blending import (
    blend as blend,
)
from .device import (
    choose_device as choose_device,
)
from .device import (
    compute_dtype as compute_dtype,
)
from .diffusion import (
    simulate_exposure as simulate_exposure,
)
from .hub import (
    download_weights as download_weights,
)
from .motion.deconvolution import (
    deconvolve as deconvolve,
)
from .motion.deconvolution import (
    shake as shake,
)
from .motion.kernels import (
    KERNEL_SIZE as KERNEL_SIZE,
)
from .motion.kernels import (
    LONG_KERNEL_SIZE as LONG_KERNEL_SIZE,
)
from .motion.kernels import (
    CameraMotion as CameraMotion,
)
from .motion.kernels import (
    motion_of as motion_of,
)
from .motion.kernels import (
    still as still,
)
from .network import (
    CEILING as CEILING,
)
from .network import (
    Condition as Condition,
)
from .network import (
    Denoiser as Denoiser,
)
from .network import (
    NetworkConfig as NetworkConfig,
)
from .resampling import (
    resample as resample,
)
from .restorer import (
    Restorer as Restorer,
)
from .weights import (
    DEFAULT_WEIGHTS as DEFAULT_WEIGHTS,
)
from .weights import (
    KNOWN_WEIGHTS as KNOWN_WEIGHTS,
)
from .weights import (
    PHOTO_WEIGHTS as PHOTO_WEIGHTS,
)
from .weights import (
    REPOSITORIES as REPOSITORIES,
)
from .weights import (
    downloaded_weights as downloaded_weights,
)
from .weights import (
    find_weights as find_weights,
)
from .weights import (
    load_weights as load_weights,
)
from .weights import (
    save_weights as save_weights,
)
from .weights import (
    verify_weights as verify_weights,
)
from .weights import (
    weights_folder as weights_folder,
)
from .weights import (
    weights_sha256 as weights_sha256,
)
