"""The rows of the paper's Tables 1 to 5 and of the ladder, which paper.py trains and evaluates."""

from __future__ import annotations

from table_parts import YARDSTICK, Model, Row, Table

W_PLUS = ("model.rgb_branch.channels=[]",)  # in place of F&W+
STATIC = ("mean_latent.tau=0",)  # in place of the soft-update mean latent (SML)
MANY = ("mean_latent.samples=512",)  # K, mapped z in a target of the SML; configs/tables.yaml has 8
PLAIN = ("model.premodulation.enabled=false",)  # no pre-modulation (PM)
UNKNOWN = ("codes=null", "code_metric=null", "losses.code=0")  # the generator didn't draw these pictures


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
NETWORKS = {name: Model(network=name) for name in ("gc", "rfr", "medfe", "ctsdg", "crfill", "boundless", "ns-outpaint")}
MINUTES = 10.0  # of each training, where networks are compared that cost differently
OURS, PSP = "--model={f+w+_sml_pm}", "--method=psp:model={w+}"
PLAIN_FILLS = {"telea": Row("--method=telea"), "patchmatch": Row("--method=patchmatch")}
MEAN = {YARDSTICK: Row("--method=mean", what="the mean colour of the known pixels")}


def _classes(*figures: str) -> str:
    return ", ".join(figures)


def _network(name: str, *paper: str) -> dict[str, Row]:
    return {name: Row(f"--method={name}:weights={{{name}}}", _classes(*paper))}


def _ablation(name: str, before: str = "", what: str = "", paper: str = "-") -> tuple[str, Row]:
    return name, Row(f"--model={{{name}}}", paper, before, what=what)


def _networks() -> Table:
    rows = {
        **_network(
            "gc",
            "0.790 / 17.38 / 0.170; 0.624 / 22.05 / 0.246",
            "0.589 / 41.70 / 0.297; 0.363 / 51.35 / 0.407",
            "0.852 / 11.78 / 0.128; 0.734 / 14.19 / 0.178",
        ),
        **_network(
            "rfr",
            "0.825 / 9.98 / 0.128; 0.645 / 27.77 / 0.235",
            "0.641 / 22.07 / 0.241; 0.382 / 71.19 / 0.395",
            "0.878 / 7.96 / 0.092; 0.750 / 16.26 / 0.170",
        ),
        **_network(
            "medfe",
            "0.781 / 21.97 / 0.192; 0.598 / 44.38 / 0.294",
            "0.552 / 55.52 / 0.359; 0.323 / 111.85 / 0.495",
            "0.846 / 15.52 / 0.142; 0.714 / 26.15 / 0.217",
        ),
        "profill": Row(
            "",
            _classes("-; 0.664 / 21.49 / 0.240", "-; 0.409 / 46.44 / 0.402", "-; 0.764 / 13.81 / 0.173"),
            what="a web service alone: --predictions profill=FOLDER",
        ),
        **_network(
            "ctsdg",
            "0.818 / 15.13 / 0.151; 0.651 / 35.77 / 0.272",
            "0.616 / 33.89 / 0.281; 0.393 / 95.50 / 0.438",
            "0.875 / 10.32 / 0.110; 0.755 / 21.36 / 0.199",
        ),
        **_network(
            "crfill",
            "0.810 / 13.78 / 0.139; 0.629 / 22.46 / 0.250",
            "0.639 / 30.19 / 0.275; 0.360 / 51.26 / 0.413",
            "0.859 / 11.94 / 0.114; 0.738 / 14.44 / 0.182",
        ),
        "invertfill": Row(
            "--model={invertfill}",
            _classes(
                "0.812 / 9.89 / 0.121; 0.641 / 12.44 / 0.232",
                "0.652 / 13.21 / 0.214; 0.366 / 21.08 / 0.386",
                "0.867 / 7.71 / 0.089; 0.761 / 9.29 / 0.155",
            ),
        ),
        **PLAIN_FILLS,
        **MEAN,
    }
    return Table(
        "methods trained alike (the paper: CelebA-HQ; Places2; each SSIM / FID / LPIPS; it has no column for EC)",
        rows,
        NETWORKS | {"invertfill": Model()},
        "hard,extreme,all",
        "networks",
        overrides=("masks.low=0.1",),
        minutes=MINUTES,
        blend="none",
    )


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
    "1": _networks(),
    "2": Table(
        "methods of GAN inversion (the paper: CelebA-HQ, extreme; FID / LPIPS / SSIM)",
        {
            "mganprior": Row("--method=mganprior:model={f+w+_sml_pm}", "29.57 / 0.273 / 0.608"),
            "psp": Row(PSP, "25.61 / 0.248 / 0.594"),
            "psp-blend": Row("--method=psp-blend:model={w+}", "21.96 / 0.240 / 0.602"),
            "ours": Row(OURS, "13.21 / 0.214 / 0.652", before="psp", what="the whole method"),
            "w-plus": Row("--method=w-plus:model={f+w+_sml_pm}"),
            **PLAIN_FILLS,
        },
        MODELS,
        "extreme",
        "portraits",
    ),
    "3": Table(
        "outpainting, the generator as it is (the paper: Scenery; FID / LPIPS / SSIM)",
        {
            **_network("rfr", "138.31 / 0.455 / 0.376"),
            "psp": Row(PSP, "49.62 / 0.379 / 0.392"),
            **_network("boundless", "45.05 / 0.368 / 0.413"),
            **_network("ns-outpaint", "38.95 / 0.342 / 0.410"),
            "ours": Row(OURS, "20.90 / 0.294 / 0.439", before="psp", what="the whole method"),
            **MEAN,
        },
        MODELS | NETWORKS,
        "hard",
        "outpainting",
        "outpaint",
        ("masks.kind=outpaint", *UNKNOWN),
        MINUTES,
    ),
    "4": Table(
        "an unseen domain, the generator as it is (the paper: MetFaces, easy and extreme; SSIM / FID / LPIPS)",
        {
            **_network("rfr", "0.93 / 18.89 / 0.069", "0.52 / 58.24 / 0.315"),
            **_network("crfill", "0.95 / 13.67 / 0.042", "0.54 / 50.93 / 0.278"),
            "psp": Row(PSP, "0.95 / 14.91 / 0.040, 0.49 / 65.04 / 0.341"),
            "ours": Row(OURS, "0.97 / 8.64 / 0.033, 0.60 / 38.85 / 0.227", before="psp", what="the whole method"),
            **MEAN,
        },
        MODELS | NETWORKS,
        "easy,extreme",
        "unseen",
        overrides=UNKNOWN,
        minutes=MINUTES,
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
