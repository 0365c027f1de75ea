"""The rows of the paper's Tables 2 to 5 and of the ladder, which paper.py trains and evaluates."""

from __future__ import annotations

from dataclasses import dataclass

W_PLUS = ("model.rgb_branch.channels=[]",)  # in place of F&W+
STATIC = ("mean_latent.tau=0",)  # in place of the soft-update mean latent (SML)
MANY = ("mean_latent.samples=512",)  # K, mapped z in a target of the SML; configs/tables.yaml has 8
PLAIN = ("model.premodulation.enabled=false",)  # no pre-modulation (PM)
UNKNOWN = ("codes=null", "code_metric=null", "losses.code=0")  # the generator didn't draw these pictures


@dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
        overrides: of the configuration.
        joined: begins from a MI-GAN's layers, joined to the generator (recipes/faces-256/join_prior.py).
    """

    overrides: tuple[str, ...]
    joined: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        how: as `invertfill evaluate` names it; {NAME} is a trained model.
        paper: the paper's figures.
        before: the row that it differs from in one thing.
        blend: with which it is compared to that row.
        what: that thing.
    """

    how: str
    paper: str = "-"
    before: str = ""
    blend: str = "none"
    what: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        rows: by name.
        models: what they may name.
        coverage, kind: of the masks.
        overrides: of the configuration, for all models.
        folder: of what is trained; tables that share it share their models.
    """

    title: str
    rows: dict[str, Row]
    models: dict[str, Model]
    coverage: str
    folder: str
    kind: str = "freeform"
    overrides: tuple[str, ...] = ()


MODELS = {
    name: Model(overrides)
    for name, overrides in {
        "w+": (*W_PLUS, *STATIC, *PLAIN),
        "f+w+": (*STATIC, *PLAIN),
        "f+w+_sml": PLAIN,
        "f+w+_sml_k512": (*PLAIN, *MANY),
        "f+w+_sml_pm": (),
        "f+w+_sml_pm_k512": MANY,
        "w+_sml_pm": W_PLUS,
    }.items()
}
OURS, PSP = "--model={f+w+_sml_pm}", "--method=psp:model={w+}"


def _ablation(name: str, before: str = "", what: str = "", paper: str = "-") -> tuple[str, Row]:
    return name, Row(f"--model={{{name}}}", paper, before, what=what)


def _ladder() -> Table:
    rows: dict[str, Row] = {}
    models: dict[str, Model] = {}

    def step(name: str, before: str, what: str, *change: str, joined: bool = False, blend: str = "none") -> None:
        above = models.get(before, Model(()))
        models[name] = Model((*above.overrides, *change), joined or above.joined)
        rows[name] = Row(f"--model={{{name}}}", before=before, blend=blend, what=what)

    rfr = "valid: 1, hole: 6, perceptual: 0.05, style: 120, tv: 0.1, composite: false, msr: 1, fid: 0.005"
    step("paper", "", "the paper's own recipe", f"losses={{{rfr}}}")
    step("composite", "paper", "perceptual, style, TV of the composite too, as RFR", "losses.composite=true")
    no_vgg, lpips = ("losses.perceptual=0", "losses.style=0", "losses.tv=0"), ("losses.lpips=3", "losses.lpips_net=vgg")
    step("lpips", "paper", "LPIPS for perceptual, style and TV", *no_vgg, *lpips)
    step("lpips-alone", "lpips", "no loss of Eqs. 5 and 6", "losses.msr=0", "losses.fid=0")
    step("adversarial", "lpips-alone", "an adversarial loss", "losses.adversarial=0.05", "lr_mult.discriminator=4")
    step("codes", "adversarial", "the portraits' known codes as a loss", "losses.code=0.5")
    step("w", "codes", "w instead of w+", "model.premodulation.space=w")
    step("mean-fixed", "w", "the mean latent fixed", *STATIC)
    step("generator-free", "mean-fixed", "the generator learns", "lr_mult.generator=1")
    step("migan", "generator-free", "MI-GAN's layers, the prior up to 32 px", joined=True)
    step("blend", "migan", "the border matched, in training too", "model.blend=membrane", blend="membrane")
    ships = "its training: hours, in several runs"
    rows["faces-256"] = Row("--model=faces-256", before="blend", blend="membrane", what=ships)
    return Table("from the paper's recipe to what ships, one change a row", rows, models, "hard,extreme", "ladder")


TABLES = {
    "2": Table(
        "methods of GAN inversion (the paper: CelebA-HQ, extreme; FID / LPIPS / SSIM)",
        {
            "mganprior": Row("--method=mganprior:model={f+w+_sml_pm}", "29.57 / 0.273 / 0.608"),
            "psp": Row(PSP, "25.61 / 0.248 / 0.594"),
            "psp-blend": Row("--method=psp-blend:model={w+}", "21.96 / 0.240 / 0.602"),
            "ours": Row(OURS, "13.21 / 0.214 / 0.652", before="psp", what="the whole method"),
            "w-plus": Row("--method=w-plus:model={f+w+_sml_pm}"),
            "telea": Row("--method=telea"),
            "patchmatch": Row("--method=patchmatch"),
        },
        MODELS,
        "extreme",
        "portraits",
    ),
    "3": Table(
        "outpainting, the generator as it is (the paper: Scenery; FID / LPIPS / SSIM)",
        {
            "psp": Row(PSP, "49.62 / 0.379 / 0.392"),
            "ours": Row(OURS, "20.90 / 0.294 / 0.439", before="psp", what="the whole method"),
        },
        MODELS,
        "hard",
        "outpainting",
        "outpaint",
        ("masks.kind=outpaint", *UNKNOWN),
    ),
    "4": Table(
        "an unseen domain, the generator as it is (the paper: MetFaces, easy and extreme; SSIM / FID / LPIPS)",
        {
            "psp": Row(PSP, "0.95 / 14.91 / 0.040, 0.49 / 65.04 / 0.341"),
            "ours": Row(OURS, "0.97 / 8.64 / 0.033, 0.60 / 38.85 / 0.227", before="psp", what="the whole method"),
        },
        MODELS,
        "easy,extreme",
        "unseen",
        overrides=UNKNOWN,
    ),
    "5": Table(
        "ablation (the paper: Places2, extreme; FID / LPIPS / SSIM / PSNR)",
        dict(
            (
                _ablation("w+"),
                _ablation("f+w+", "w+", "F&W+", "35.37 / 0.395 / 0.357 / 13.85"),
                _ablation("f+w+_sml", "f+w+", "SML, K = 8", "24.73 / 0.389 / 0.358 / 13.99"),
                _ablation("f+w+_sml_k512", "f+w+", "SML, K = 512"),
                _ablation("f+w+_sml_pm", "f+w+_sml", "PM", "21.08 / 0.386 / 0.366 / 14.62"),
                _ablation("f+w+_sml_pm_k512", "f+w+_sml_k512", "PM"),
                _ablation("w+_sml_pm", "f+w+_sml_pm", "no F", "42.85 / 0.392 / 0.361 / 14.25"),
            )
        ),
        MODELS,
        "extreme",
        "portraits",
    ),
    "ladder": _ladder(),
}
