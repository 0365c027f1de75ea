"""A model folder for people without torch: the weights once, and three ONNX graphs that refer to them.

    FOLDER/model.safetensors    all of InvertFill's tensors in half precision; metadata "config" and "provenance", JSON
    FOLDER/fill.onnx            image (1, 3, s, s), mask (1, 1, s, s), w_mean (1, D) or, where the encoder guesses z,
                                deviation (1, Z), noise (1, 1, s, s) where the model has such -> output (1, 3, s, s),
                                raw O_G
    FOLDER/mapping.onnx         z (N, Z) -> w (N, D)
    FOLDER/synthesis.onnx       w (1, D) -> image (1, 3, s, s): the same w for every layer
    FOLDER/domain.npz           what its pictures look like at 16 px: see domain.py
    FOLDER/SHA256SUMS           of these five, checked whenever the model is loaded
    FOLDER/MODEL_CARD.md

A graph's weights are external data: byte ranges of model.safetensors as FLOAT16, each with a Cast to FLOAT behind it,
which ONNX Runtime folds when it opens the graph. All inputs and outputs are float32; N is free. Pictures go one by one:
on a CPU a batch is no faster, and with all sizes known the runtime joins more of the operators.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from invertfill.errors import InputError
from invertfill.nn.invertfill import InvertFill
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.registry import DOMAIN, FILES, read_header, write_sums
from invertfill.training.checkpoint import load_module, newest_checkpoint, provenance_of, read_state
from invertfill.training.config import BaselineConfig, parse_config
from invertfill.training.data.readers import decode, open_source
from invertfill.training.inversion import load_model, model_config
from invertfill.training.mean_latent import long_run_mean

WEIGHTS, CARD = FILES[0], "MODEL_CARD.md"
OPSET = 17
MEASURED, DRAWN = 2000, 128  # pictures that a domain is measured on, at most: of a folder, by the generator
INLINE = 2**16  # bytes: constants that are no weight (filters, shapes) stay in the graph up to here


def export(
    checkpoint: Path, folder: Path, card: str | None = None, pictures: Path | None = None, early: bool = False
) -> Path:
    """Write the model folder of a checkpoint of stage 2 or of a baseline, from its shadow weights (EMA) if it has them.

    Args:
        checkpoint: a checkpoint's folder, or a run's: its newest checkpoint is taken.
        folder: where the model folder goes; a model folder that is already there is replaced.
        card: the model card's Markdown; a short one is written if left out.
        pictures: see `export_model`; a baseline takes none.
        early: the training isn't at its end; `invertfill models` says so. Not of a baseline.

    Returns:
        ``folder``.

    Raises:
        InputError: no checkpoint of either there, a damaged one, pictures that can't be read, or a folder that can't
            be written.
    """
    checkpoint = newest_checkpoint(checkpoint) or checkpoint
    if read_state(checkpoint)["config"].get("stage") == "baseline":
        if pictures or early:
            raise InputError(f"{checkpoint}: a baseline; --pictures and --early are accepted of a model alone")
        return export_baseline(checkpoint, folder, card)
    model = InvertFill(model_config(checkpoint))
    load_model(model, checkpoint)
    if model.guesses_z:  # its mapping network has learnt, and the moving average has one of its own
        model.w_mean.copy_(long_run_mean(model.generator.mapping, model.generator.z_dim))
    provenance = provenance_of(checkpoint) | ({"early": True} if early else {})
    return export_model(model, folder, provenance, card, pictures)


def export_model(
    model: InvertFill, folder: Path, provenance: dict[str, Any], card: str | None = None, pictures: Path | None = None
) -> Path:
    """Write a model folder; it appears complete or not at all.

    Args:
        model: its parameters are rounded to half precision, in place, and it is put into evaluation mode: afterwards it
            is what the folder holds.
        folder: where to; a model folder that is already there is replaced.
        provenance: plain values: where the weights come from.
        card: the model card's Markdown; a short one is written if left out.
        pictures: a folder, zip or tar of pictures of the model's domain, by which `invertfill.pipeline.domain_prior`
            tells it from others; left out, what the generator draws stands for them.

    Returns:
        ``folder``.

    Raises:
        InputError: ``pictures`` can't be read, ``folder`` is something else than a model folder, or can't be written,
            or a weight is not finite in half precision (a run that diverged).
    """
    folder = _replaceable(folder)
    model.float().cpu().eval()
    tensors = round_to_half(model)
    try:
        with _beside(folder) as draft:
            metadata = {"config": json.dumps(model.config), "provenance": json.dumps(provenance)}
            save_file(tensors, draft / WEIGHTS, metadata)
            _export_graphs(model, draft)
            DomainPrior.of(_read(pictures, model.generator.size) if pictures else _drawn(model)).save(draft / DOMAIN)
            write_sums(draft)
            size = model.generator.size
            text = card or _short_card(folder.name, "InvertFill", model, size, model.config, provenance)
            (draft / CARD).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error}); give a folder in a place that can") from error
    return folder


def export_baseline(checkpoint: Path, folder: Path, card: str | None = None) -> Path:
    """Write a baseline's folder: model.safetensors with "config" (its network's) and "provenance", and a card.

    Args, returns and errors are those of `export`.
    """
    folder = _replaceable(folder)
    config = parse_config(BaselineConfig, read_state(checkpoint)["config"], str(checkpoint)).network
    network = config.build().eval()
    shadow = checkpoint / "ema.safetensors"
    load_module(network, shadow if shadow.is_file() else checkpoint / "network.safetensors")
    provenance = provenance_of(checkpoint)
    metadata = {"config": config.model_dump_json(), "provenance": json.dumps(provenance)}
    try:
        with _beside(folder) as draft:
            save_file(round_to_half(network), draft / WEIGHTS, metadata)
            text = card or _short_card(folder.name, config.kind, network, config.size, config.model_dump(), provenance)
            (draft / CARD).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error}); give a folder in a place that can") from error
    return folder


def _replaceable(folder: Path) -> Path:
    folder = Path(folder)
    if folder.exists() and not (folder / WEIGHTS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is no model folder; a new folder, or one to replace, is accepted")
    return folder


def _read(pictures: Path, size: int) -> Iterator[np.ndarray]:
    """At most `MEASURED`, evenly spaced by name, (3, size, size) float32 in [-1, 1]."""
    with open_source(pictures) as (names, read):
        for name in names[:: math.ceil(len(names) / MEASURED)]:
            try:
                pixels = decode(read(name), size)
            except (OSError, ValueError, SyntaxError) as error:
                raise InputError(f"{pictures}: {name}: not a picture that can be read ({error})") from None
            yield pixels.transpose(2, 0, 1) / np.float32(127.5) - 1


@torch.no_grad()
def _drawn(model: InvertFill) -> Iterator[np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    for z in torch.randn(DRAWN, 1, model.generator.z_dim, generator=generator):
        yield Synthesis(model)(model.generator.mapping(z))[0].clamp(-1, 1).numpy()


@torch.no_grad()
def round_to_half(model: nn.Module) -> dict[str, Tensor]:
    """Round every floating-point tensor of a model, in place; return them in half precision, the others as they are.

    Raises:
        InputError: a tensor is not finite in half precision.
    """
    halves: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        half = tensor.half() if tensor.is_floating_point() else tensor
        if not half.isfinite().all():
            raise InputError(f"{name}: not finite in half precision; weights of magnitude up to 65504 are accepted")
        tensor.copy_(half)
        halves[name] = half.contiguous()
    return halves


class Fill(nn.Module):
    """fill.onnx."""

    def __init__(self, model: InvertFill) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, mask: Tensor, latent: Tensor, noise: Tensor | None = None) -> Tensor:
        start = {"deviation" if self.model.guesses_z else "w_mean": latent}
        output: Tensor = self.model(image, mask, noise=noise, **start).image
        return output


class Mapping(Fill):
    """mapping.onnx."""

    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        w: Tensor = self.model.generator.mapping(z)
        return w


class Synthesis(Fill):
    """synthesis.onnx."""

    def forward(self, w: Tensor) -> Tensor:  # type: ignore[override]
        return self.model.sample(w)


def _export_graphs(model: InvertFill, folder: Path) -> None:
    size, dim = model.generator.size, model.generator.latent_dim
    picture, mask, latent = torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size), torch.zeros(1, dim)
    z = torch.zeros(1, model.generator.z_dim)
    start = {"deviation": z} if model.guesses_z else {"w_mean": latent}
    inputs = {"image": picture, "mask": mask, **start}
    if model.rgb_branch is not None and model.rgb_branch.noise is not None:
        inputs["noise"] = torch.zeros_like(mask)
    _export_graph(Fill(model), inputs, "output", folder / "fill.onnx")
    _export_graph(Mapping(model), {"z": z.expand(2, -1)}, "w", folder / "mapping.onnx", free=True)
    _export_graph(Synthesis(model), {"w": latent}, "image", folder / "synthesis.onnx")


def _export_graph(module: nn.Module, inputs: dict[str, Tensor], output: str, path: Path, free: bool = False) -> None:
    """Export, with the first axis free or as the inputs have it, then point the weights at model.safetensors beside."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer about sizes that become constants, as they should
        # The tracing exporter, because it needs no further package and keeps every weight under its own name: nothing
        # is folded into or out of it, batch normalisation neither (PRESERVE; the module is in evaluation mode).
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "N"} for name in (*inputs, output)} if free else None,
            opset_version=OPSET,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )
    graph = onnx.load(path)
    ranges = _byte_ranges(path.parent / WEIGHTS)
    _fold(graph, {tensor.name for tensor in graph.graph.initializer if _stored_name(tensor) in ranges})
    _point_at(graph.graph, path.parent / WEIGHTS, ranges)
    path.write_bytes(graph.SerializeToString())
    onnx.checker.check_model(str(path))


def _fold(model: onnx.ModelProto, weights: set[str]) -> None:
    """Let ONNX Runtime compute now what depends on neither inputs nor weights, which it would at every opening."""
    draft = onnx.ModelProto()
    draft.CopyFrom(model)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in weights]
    for tensor in kept:  # as inputs, so that they stay what they are
        draft.graph.initializer.remove(tensor)
        draft.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # no operators of its own
    options.log_severity_level = 3  # errors
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(draft.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath).graph
    for field, content in ((model.graph.node, folded.node), (model.graph.initializer, [*folded.initializer, *kept])):
        del field[:]
        field.extend(content)
    del model.graph.value_info[:]


def _stored_name(tensor: TensorProto) -> str:
    return tensor.name.removeprefix("model.")


def _point_at(graph: onnx.GraphProto, weights: Path, ranges: dict[str, tuple[int, int]]) -> None:
    """Replace the initializers that are tensors of a safetensors file by references into it, and a Cast each."""
    kept, references, casts = [], [], []
    for tensor in graph.initializer:
        name = _stored_name(tensor)
        if name not in ranges:
            if len(tensor.raw_data) > INLINE:
                raise RuntimeError(f"{tensor.name}: an initializer of the graph that is no tensor of the model")
            kept.append(tensor)
            continue
        values = numpy_helper.to_array(tensor).astype("float16").tobytes()
        start, length = ranges[name]
        with weights.open("rb") as file:
            file.seek(start)
            if file.read(length) != values:
                raise RuntimeError(f"{tensor.name}: the graph holds other values than the model")
        reference = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=tensor.dims)
        reference.data_location = TensorProto.EXTERNAL
        for key, value in {"location": WEIGHTS, "offset": start, "length": length}.items():
            reference.external_data.add(key=key, value=str(value))
        references.append(reference)
        casts.append(helper.make_node("Cast", [name], [tensor.name], name=f"{name}/Cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    for field, content in ((graph.initializer, [*kept, *references]), (graph.node, nodes)):
        del field[:]
        field.extend(content)


def _byte_ranges(path: Path) -> dict[str, tuple[int, int]]:
    """Of the half-precision tensors of a safetensors file: name -> (offset from the file's start, length), bytes."""
    header, begin = read_header(path)
    return {
        name: (begin + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if entry.get("dtype") == "F16"
    }


def _short_card(
    name: str, kind: str, model: nn.Module, size: int, config: dict[str, Any], provenance: dict[str, Any]
) -> str:
    count = sum(p.numel() for p in model.parameters())
    return (
        f"# {name}\n\n{kind}, {size} px, {count / 1e6:.2f} M parameters in half precision.\n\n"
        f"## Model\n\n```json\n{json.dumps(config, indent=1)}\n```\n\n"
        f"## Origin\n\n```json\n{json.dumps(provenance, indent=1)}\n```\n"
    )


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A draft beside ``folder`` that takes its place if all goes well, and vanishes if not."""
    draft, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("unfinished", "replaced"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    finally:
        for leftover in (draft, old):
            shutil.rmtree(leftover, ignore_errors=True)
