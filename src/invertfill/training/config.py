"""What a training run is: schemas of stage 1, stage 2 and methods to compare with, read from YAML and checked by key.

Shapes of networks stand beside the networks; their defaults are small. The others are the paper's where it gives
a figure and this project's where it doesn't, so that a file holds only what differs. An unknown key or a bad value ends
in one line that names the key, what is allowed, and the nearest known key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from invertfill.baselines.networks import AnyNetworkConfig
from invertfill.errors import InputError
from invertfill.losses.inpainting import LossWeights
from invertfill.masks.names import COVERAGE, WIDE, MaskKind
from invertfill.nn.config import Count, Fraction, NonNegative, Positive, Section, Times
from invertfill.nn.generators.stylegan2 import DiscriminatorConfig, StyleGAN2Config
from invertfill.nn.invertfill import InvertFillConfig
from invertfill.registry import ModelInfo
from invertfill.training.mean_latent import MeanLatentConfig


class AugmentationConfig(Section):
    """Photometric and slight geometric changes that bring drawn pictures nearer to photographs (augmentation.py)."""

    probability: Fraction = 0.0  # share of pictures that are changed at all
    # Changed copies of each picture, made before the first step and kept on the device with the set: a GPU outruns any
    # number of threads. 0 changes pictures on the fly, anew in each epoch.
    copies: Times = 0
    colour: NonNegative = 0.25  # brightness, contrast, saturation and warmth vary by a factor of up to 1 +- colour
    blur: NonNegative = 1.0  # largest Gaussian radius, px
    noise: NonNegative = 6.0  # largest standard deviation of the noise, of 255
    jpeg: Annotated[int, Field(ge=1, le=100)] = 40  # lowest JPEG quality; the highest is 95
    turn: NonNegative = 4.0  # largest turn, degrees
    shift: Fraction = 0.04  # largest shift, of the side
    zoom: Fraction = 0.06  # largest change of scale


class DataConfig(Section):
    """Where the pictures are: a folder, a zip or a tar; brought to the model's size by a centre crop."""

    path: Path
    flip: bool = True  # mirror half of the pictures
    cache: bool = True  # decode the whole set once and keep it as uint8; false reads every batch from disk
    limit: Count | None = None  # use only this many pictures, the first by name
    workers: Count = 4  # decoding threads
    augmentation: AugmentationConfig = AugmentationConfig()

    @model_validator(mode="after")
    def copies_fit(self) -> DataConfig:
        if self.augmentation.copies and not self.cache:
            raise ValueError("augmentation.copies needs the cache: they are kept in memory")
        return self


class MaskConfig(Section):
    """Holes for stage 2; coverage is the share of the picture that is hole."""

    kind: MaskKind = "mixed"
    low: Annotated[float, Field(gt=0, lt=1)] = 0.1
    high: Annotated[float, Field(gt=0, lt=1)] = 0.9
    pool: Times = 0  # how many masks to draw before the first step; 0 draws each on the fly
    outlines: Path | None = None  # a folder of masks of things, white = the thing, for the kinds objects and photo

    @model_validator(mode="before")
    @classmethod
    def bounds_of_the_kind(cls, given: Any) -> Any:
        """Kinds with a coverage of their own keep all of it unless bounds are given: thin lines cover 2 %."""
        if isinstance(given, dict) and given.get("kind") in WIDE:
            low, high = COVERAGE["any"]
            return {"low": low, "high": high} | given
        return given

    @model_validator(mode="after")
    def ordered(self) -> MaskConfig:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self

    @model_validator(mode="after")
    def outlined(self) -> MaskConfig:
        if self.kind == "objects" and self.outlines is None:
            raise ValueError("kind 'objects' needs `outlines`: a folder of masks, white = the thing")
        return self


class AdamConfig(Section):
    """Adam."""

    lr: Positive = 1e-4
    warmup: Times = 0  # steps in which lr rises from 0
    decay: Literal["none", "cosine"] = "none"  # cosine: to 2 % of lr at the last step
    clip: Positive | None = None  # largest norm of all gradients together
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8


class RunConfig(Section):
    """What all trainings share."""

    name: str
    out: Path  # the run's folder: checkpoints, log.jsonl, TensorBoard events, sample grids
    seed: Times = 0
    steps: Count
    # Minutes from the first step on, such as on a rented GPU: the run ends at the first step after them, and learning
    # rates fall as for the steps that fit. One that goes on counts what its newest checkpoint had taken.
    time_budget: Positive | None = None
    batch: Count  # pictures a step over all processes
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on CUDA, fp32 elsewhere
    channels_last: bool = True
    ema_half_life: NonNegative = 10_000  # of the shadow weights, in pictures; 0 switches them off
    data: DataConfig
    log_every: Count = 50
    sample_every: Count = 2000
    sample_count: Count = 16
    checkpoint_every: Count = 2000
    keep: Count = 3  # checkpoints kept


class GanConfig(RunConfig):
    """Stage 1: the generator (StyleGAN2's recipe; lr 0.0025 belongs to batch 64, gamma 1 to 256 px)."""

    stage: Literal["gan"] = "gan"
    generator: StyleGAN2Config = StyleGAN2Config()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()  # its size is the generator's
    optimizer: AdamConfig = AdamConfig(lr=0.0025, beta1=0.0, beta2=0.99)  # scaled for lazy regularisers by GanTask
    r1_gamma: NonNegative = 1.0
    r1_every: Count = 16
    path_weight: NonNegative = 2.0
    path_every: Count = 4
    path_decay: Fraction = 0.01
    path_shrink: Count = 2  # path lengths are measured on batch / path_shrink pictures
    style_mixing: Fraction = 0.9
    augment: Literal["none", "diffaugment"] = "none"  # for small data sets


class LossConfig(LossWeights):
    """The paper's weights, and those of losses beyond it.

    The composite that `border`, `lpips` and `adversarial` see is the one that the inpainter writes: its border matched.
    """

    border: NonNegative = 0.0  # mean over all pixels of |I - O| in the hole
    lpips: NonNegative = 0.0
    lpips_net: Literal["alex", "vgg"] = "alex"
    lpips_crop: Annotated[int, Field(ge=32)] | None = None  # side in pixels of the square it sees, new each step
    adversarial: NonNegative = 0.0  # losses/adversarial.py, on the features of `lpips_net`
    code: NonNegative = 0.0  # squared distance to the known style code (`codes`), in its standard deviations


class LrMultConfig(Section):
    """Times the learning rate at which each part of the model learns; 0 = frozen."""

    encoder: NonNegative = 1.0
    premodulation: NonNegative = 1.0
    rgb_branch: NonNegative = 1.0
    # Not in the paper. Its mapping network stays, so that latents and their mean keep their meaning (but see `guess`).
    generator: NonNegative = 0.0
    discriminator: NonNegative = 1.0  # where there is an adversarial loss


class PathsConfig(Section):
    """Shares of the pictures that take each way to the style code w* = E(I_m) + mapping(z)."""

    whole: NonNegative = 0.4  # z of q(z|I), which sees what the hole hides
    mean: NonNegative = 0.3  # z the mean of p(z|I_m): what a fill gets
    drawn: NonNegative = 0.2  # z of p(z|I_m): what another seed gets
    anchor: NonNegative = 0.1  # w_o in place of mapping(z): the soft-update mean latent


class GuessConfig(Section):
    """Training of an encoder that guesses z (training/guess.py); none of it is in the paper."""

    paths: PathsConfig = PathsConfig()
    all_hole: Fraction = 0.1  # of the pictures: nothing is known, and z is standard normal
    nats: Positive = 100.0  # what z tells of a picture that is all hole, KL(q||p); of a smaller hole, in proportion
    amount: NonNegative = 0.01  # weight, on q, of what KL(q||p) differs from that
    ramp: Times = 400  # pictures over which that weight rises from 0
    follow: NonNegative = 0.003  # weight of KL(q||p) on p
    recover: NonNegative = 0.3  # weight of |E_z(O) - z| for fills of a z that was drawn
    blind: Fraction = 0.25  # of the pictures: the branch's features at 4 to 16 px are zero in the hole
    freeze: Times = 2000  # pictures before the layers that were trained already learn, too
    affine: NonNegative = 8.0  # times the generator's rate: layers that turn w* into factors, and the mapping network
    balance: Fraction = 0.5  # a picture counts by its hole's share of the window to the minus this


class AboutConfig(Section):
    """What `invertfill models` says about an exported model."""

    domain: str = "unknown"
    licence: str = "unknown"
    source: str = "unknown"
    data: str = "unknown"  # what it was trained on, with the split
    # K of Sec. 3.2 where a fill has a seed other than 0; what the model was trained with is `mean_latent.samples`.
    mean_latent_samples: Count = ModelInfo.mean_latent_samples
    aligned: bool = False  # whole pictures of one composition, such as portraits: `--model auto` asks it for no part


class InversionConfig(RunConfig):
    """Stage 2: encoder, mapping networks and RGB branch in front of a generator, frozen unless `lr_mult` frees it."""

    stage: Literal["inversion"] = "inversion"
    about: AboutConfig = AboutConfig()
    model: InvertFillConfig = InvertFillConfig()
    prior: Path | None = None  # the generator's weights: a run of stage 1, a checkpoint or a .safetensors file
    layers: Path | None = None  # weights of generator and RGB branch alone, as of recipes/photos-512/lean.py
    init: Path | None = None  # weights of the whole model to go on from: a run of stage 2, a checkpoint, a model folder
    # Known style codes, where the prior drew the pictures itself: safetensors with "seed" (K,) and "w" (K,
    # latent_dim); a picture's name is its seed.
    codes: Path | None = None
    code_metric: Path | None = None  # weighs differences of codes by how visible they are (code_metric.py of faces-256)
    # Share of the pictures with a known code that are all hole and drawn from it: what `invertfill sample` asks for.
    from_code: Fraction = 0.0
    compile: bool = False  # torch.compile of the drawing and of LPIPS's network: a minute or more before the first step
    through_generator: bool = True  # false: only the codes are regressed, without the generator in the loop
    masks: MaskConfig = MaskConfig()
    guess: GuessConfig = GuessConfig()  # where the encoder has a z_dim
    losses: LossConfig = LossConfig()
    lr_mult: LrMultConfig = LrMultConfig()
    mean_latent: MeanLatentConfig = MeanLatentConfig()
    optimizer: AdamConfig = AdamConfig()

    @model_validator(mode="after")
    def codes_known(self) -> InversionConfig:
        if (self.losses.code or self.from_code) and not self.codes:
            raise ValueError("losses.code and from_code need `codes`")
        if not self.through_generator and not self.losses.code:
            raise ValueError("through_generator=false needs losses.code above 0, and with it `codes`")
        return self

    @model_validator(mode="after")
    def crop_fits(self) -> InversionConfig:
        if (self.losses.lpips_crop or 0) > (size := self.model.generator.size):
            raise ValueError(f"losses.lpips_crop is larger than the pictures of {size} px")
        return self

    @model_validator(mode="after")
    def guess_applies(self) -> InversionConfig:
        """Training with a guessed z (training/guess.py) refuses what it has no place for."""
        if not self.model.encoder.z_dim:
            return self
        losses = self.losses
        off = {f"losses.{name}": getattr(losses, name) for name in ("perceptual", "style", "tv", "border", "code")}
        off |= {"from_code": self.from_code, "compile": self.compile, "codes only": not self.through_generator}
        if unused := [name for name, value in off.items() if value]:
            raise ValueError(f"encoder.z_dim has no place for {', '.join(unused)}; 0 or false is accepted")
        if self.model.rgb_branch.kind != "migan" or not (losses.lpips or losses.adversarial):
            raise ValueError(
                "encoder.z_dim needs rgb_branch.kind=migan, and losses.lpips or losses.adversarial above 0"
            )
        return self

    @model_validator(mode="after")
    def something_learns(self) -> InversionConfig:
        if not any(self.lr_mult.model_dump(exclude={"discriminator"}).values()):
            raise ValueError("lr_mult is 0 for every part: nothing would learn")
        return self


class BaselineConfig(RunConfig):
    """A method to compare with (invertfill/baselines); its network's key `kind` says which."""

    stage: Literal["baseline"] = "baseline"
    batch: Annotated[int, Field(ge=2)]  # some normalise over the batch features of 1 x 1
    network: AnyNetworkConfig
    masks: MaskConfig = MaskConfig()
    optimizer: AdamConfig = AdamConfig()
    critic_lr_mult: NonNegative = 1.0  # times the learning rate at which the critic learns
    ema_half_life: NonNegative = 0  # the methods have no shadow weights


Config = TypeVar("Config", bound=RunConfig)

# Former dotted key -> what its last part is called now. Files, overrides and checkpoints may still have it.
FORMER_KEYS = {"rates": "lr_mult", "minutes": "time_budget", "data.degrade": "augmentation"}


def rename_keys(tree: dict[str, Any], parent: str = "") -> dict[str, Any]:
    """A configuration's plain values, with `FORMER_KEYS` under their present names.

    Raises:
        InputError: a key is there under both names.
    """
    renamed: dict[str, Any] = {}
    for key, value in tree.items():
        name = FORMER_KEYS.get(path := f"{parent}{key}", key)
        if name != key and name in tree:
            raise InputError(f"{path!r} is the former name of {parent + name!r}, which is given too; one is accepted")
        renamed[name] = rename_keys(value, f"{path}.") if isinstance(value, dict) else value
    return renamed


def load_config(schema: type[Config], path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a YAML file, apply `key.sub=value` overrides (values in YAML), and check the whole.

    Raises:
        InputError: no such file, no YAML, an override without "=", an unknown key or a bad value; one line.
    """
    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read as a configuration ({error}); a YAML file is accepted") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: holds no mapping; `key: value` lines are accepted: {_listed(schema)}")
    tree = rename_keys(tree)
    for override in overrides:
        _set(tree, override)
    return parse_config(schema, tree, str(path))


def parse_config(schema: type[Config], tree: dict[str, Any], source: str) -> Config:
    """Check a tree of plain values, in which former names are understood; `source` is named in the error line.

    Raises:
        InputError: an unknown key or a bad value.
    """
    try:
        return schema.model_validate(rename_keys(tree))
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(schema, error)}") from error


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r}: `key=value` or `key.sub=value` is accepted")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: the value is not YAML") from error
    parts = key.split(".")
    *parents, leaf = (FORMER_KEYS.get(".".join(parts[: i + 1]), part) for i, part in enumerate(parts))
    for parent in parents:
        inner = tree.get(parent)
        tree[parent] = inner = dict(inner) if isinstance(inner, dict) else {}
        tree = inner
    tree[leaf] = value


def _explain(schema: type[BaseModel], error: ValidationError) -> str:
    """The first problem in one line, unknown keys before anything else (they are most often the cause of the rest)."""
    problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key, parent = _place(schema, problem["loc"])
    if problem["type"] == "extra_forbidden":
        prefix, _, leaf = key.rpartition(".")
        if inside := difflib.get_close_matches(leaf, list(parent.model_fields), n=1):
            guess = f"{prefix}.{inside[0]}".lstrip(".")
        else:
            guess = max(_keys(schema), key=lambda k: difflib.SequenceMatcher(None, leaf, k.rpartition(".")[2]).ratio())
        return f"unknown key {key!r}; the nearest known key is {guess!r}; allowed here: {_listed(parent)}"
    if problem["type"] == "missing":
        return f"key {key!r} is missing; {_listed(schema)} are known"
    given = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"key {key!r}{given}: {message[0].lower()}{message[1:]}" if key else message


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The schema classes inside an annotation such as `A | B`, `Annotated[A, ...]` or `A | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _place(schema: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, type[BaseModel]]:
    """Dotted name of a location, and the schema that it lies in, where it is known.

    A location also holds the tag of a union's member; the name doesn't.
    """
    keys, options = [], [schema]
    for part in location:
        tagged = [
            m for m in options if "kind" in m.model_fields and part in get_args(m.model_fields["kind"].annotation)
        ]
        if len(options) > 1 and tagged:
            options = tagged
            continue
        keys.append(str(part))
        fields = next((m.model_fields for m in options if part in m.model_fields), None)
        options = (fields and _models(fields[str(part)].annotation)) or options
    return ".".join(keys), options[0]


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys."""
    for name, field in schema.model_fields.items():
        yield f"{prefix}{name}"
        for model in _models(field.annotation):
            yield from _keys(model, f"{prefix}{name}.")


def _listed(schema: type[BaseModel]) -> str:
    return ", ".join(schema.model_fields)
