from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from raw_images import metadata_with, plain_raw

from nightfix.evaluation.scene import COLOR_MATRIX, NEUTRAL, capture
from nightfix.read.bayer import CfaPattern
from nightfix.read.reader import ColorMatrix, RawImage
from nightfix.read.tags import ExifTag

if TYPE_CHECKING:
    import torch

    from nightfix.restore.restorer import Restorer

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: threads of one process would wait for those of the others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_report_header() -> str:
    import rawpy
    import tifffile
    import torch

    return (
        f"torch {torch.__version__}, rawpy {rawpy.__version__}, "
        f"LibRaw {'.'.join(map(str, rawpy.libraw_version))}, tifffile {tifffile.__version__}, "
        f"cuda {torch.cuda.is_available()}"
    )


@pytest.fixture
def shared() -> Path:
    """Photographs and camera files that are not ours to pass on."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder of shared photographs beside the project")
    return SHARED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def seed() -> None:
    import torch

    torch.manual_seed(0)


def make_raw(
    *,
    shape: tuple[int, int] = (96, 128),
    cfa_pattern: CfaPattern | None = "RGGB",
    ratio: float = 16.0,
    a: float = 4e-4,
    b: float = 4e-7,
    lamp: float = 0.0,
    seed: int = 3,
) -> RawImage:
    """A dark capture of a smooth scene with an edge; ``lamp`` is a disc of that brightness."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape) / max(shape)
    scene = 0.15 + 0.3 * y + 0.2 * (x > 0.5) + 0.05 * np.sin(40 * x)
    if lamp:
        scene = np.where((y - 0.3) ** 2 + (x - 0.3) ** 2 < 0.004, lamp, scene)
    light = scene / ratio
    mosaic = capture(light, a, b, rng)
    metadata = metadata_with(
        make="NightFix",
        model="Synthetic",
        unique_camera_model="NightFix Synthetic",
        exposure_time=1 / 30,
        iso_speed=3200.0,
        captured="2026:01:02 03:04:05",
        noise_profile=((a, b),),
        exif=(
            ExifTag(33434, 5, 1, struct.pack("<2I", 1, 30)),  # ExposureTime
            ExifTag(33437, 5, 1, struct.pack("<2I", 2, 1)),  # FNumber
            ExifTag(34855, 3, 1, struct.pack("<H", 3200)),  # ISO
        ),
    )
    return plain_raw(
        np.minimum(mosaic, 1),
        cfa_pattern=cfa_pattern,
        as_shot_neutral=np.array(NEUTRAL),
        color_matrices=(ColorMatrix(illuminant=21, matrix=np.array(COLOR_MATRIX)),),
        metadata=metadata,
    )


@pytest.fixture
def generator() -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(5)


@pytest.fixture
def boxes(rng) -> torch.Tensor:
    """Overlapping boxes of many sizes and colors, edges in every place: linear (3, 336, 464)."""
    import torch

    picture = np.full((3, 336, 464), 0.3)
    for _ in range(180):
        top, left = rng.integers(-40, 320), rng.integers(-40, 440)
        height, width = rng.integers(8, 120, 2)
        color = rng.uniform(0.02, 0.9) * np.array([0.6, 1.0, 0.7])[:, None, None]
        picture[:, max(0, top) : top + height, max(0, left) : left + width] = color
    return torch.from_numpy(picture).float()


@pytest.fixture
def synthetic_raw() -> Callable[..., RawImage]:
    return make_raw


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a random network, four channels wide, that passes most of its input on."""
    import torch

    from nightfix.restore.network import Denoiser, NetworkConfig
    from nightfix.restore.weights import save_weights

    torch.manual_seed(4)
    config = NetworkConfig(widths=(4, 8, 8), capture_width=4, embedding=8, deconvolution=True)
    network = Denoiser(config)
    torch.nn.init.normal_(network.backbone.head.weight, std=0.02)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network.state_dict(), config, name="tiny", license="Apache-2.0", training={})
    return path


@pytest.fixture
def tiny_restorer(tiny_weights: Path) -> Restorer:
    from nightfix.restore.restorer import Restorer

    return Restorer(str(tiny_weights), "cpu")


@pytest.fixture
def physics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the motion network answer what deconvolution made of a photo."""
    import torch

    class Unchanged(torch.nn.Module):
        receptive_radius, multiple = 0, 2

        def forward(self, sample, capture, condition, deconvolved, *, inner):  # noqa: ANN001, ANN202
            return inner.of(deconvolved).clone()

    monkeypatch.setattr("nightfix.restore.restorer.Restorer.motion_network", Unchanged())


@pytest.fixture(scope="session")
def default_restorer() -> Restorer:
    """The weights that come with the package."""
    from nightfix.restore.restorer import Restorer

    return Restorer(device="cpu")
