"""Pack a run of train_faces.py into the model folder that ships.

    python tools/pack_faces.py RUN PRIOR.safetensors COMMIT:SEED,... src/invertfill/weights/faces-256

COMMIT:SEED stands once for each phase in RUN/log.jsonl, in order. The folder's MODEL_CARD.md is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import load_file
from train_faces import CONFIG

from invertfill.export import export_model
from invertfill.models.invertfill import InvertFill

if __name__ == "__main__":
    run, prior, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[4])
    origins = [origin.split(":") for origin in sys.argv[3].split(",")]
    model = InvertFill(CONFIG)
    model.generator.load_state_dict(load_file(prior))
    result = model.load_state_dict(load_file(run / "model.safetensors"), strict=False)
    if result.unexpected_keys or any(not key.startswith("generator.") for key in result.missing_keys):
        raise SystemExit(f"{run}: not the weights of this configuration")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    ends = [a for a, b in zip(log, [*log[1:], {"step": 0}], strict=True) if b["step"] < a["step"]]
    phases = [
        {
            "phase": end["phase"],
            "last_logged_step": end["step"],
            "seconds": end["s"],
            "commit": commit,
            "seed": int(seed),
        }
        for end, (commit, seed) in zip(ends, origins, strict=True)
    ]
    provenance = {
        "name": "faces-256",
        "domain": "aligned portraits, 256 px",
        "licence": "non-commercial (derived from FFHQ, CC BY-NC-SA 4.0)",
        "source": "trained by this project in front of the generator of the PyPI package random-face 2021.7.21.1",
        "command": "tools/train_faces.py latent, then fill; tools/pack_faces.py",
        "data": "8,500 drawn portraits (train split), seeds of the generator as names; no photograph",
        "device": "2 CPU cores, float32",
        "phases": phases,
    }
    card = folder / "MODEL_CARD.md"
    export_model(model, folder, provenance, card.read_text(encoding="utf-8") if card.exists() else None)
    print(json.dumps(provenance, indent=1))
