"""The files that jobs need, models and data, made when they are first needed.

Names are "data/DATASET/PART.npz", "model/ARCHITECTURE/.../seedN.onnx", and "trained/...", the model that a
job of a study leaves for others. Their digests are kept under
git beside the rows, so that a table can be made, and a study's cells told apart, without the data.
"""

import hashlib
import json
import pathlib
import shutil

import numpy as np

from studies import catalog, service


TRAINED = "trained/"


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sources_digest():
    """Of all code that makes files, so that a change makes them anew."""
    folder = pathlib.Path(__file__).parent
    found = hashlib.sha256()
    for path in sorted([*folder.glob("datasets/*.py"), *folder.glob("models/*.py")]):
        found.update(path.read_bytes())
    return found.hexdigest()


class Artifacts:
    """Files below `folder` (any may be deleted), their digests in the file `manifest`."""

    def __init__(self, folder, manifest):
        self._folder = folder
        self._manifest = manifest
        self._sources = sources_digest()
        self._checked = set()
        self.digests = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}

    def kept_path(self, name):
        """Where the model of a job is to be put that is the artifact "trained/..."."""
        return self._folder / name

    def has(self, name):
        return (self._folder / name).exists()

    def ensure(self, name):
        """The path of an artifact, made if need be; its digest is in `digests` from then on.
        ServiceError where it is the model of a job that has not run here."""
        path = self._folder / name
        if name.startswith(TRAINED):
            if not path.exists():
                raise service.ServiceError(f"{name} is missing: the job that trains it has to run first")
            self._remember(name, digest_of(path))
            return path
        unit = path.parent if name.startswith("data/") else path  # Data sets are made whole.
        stamp = unit.parent / (unit.name + ".stamp")
        if not (path.exists() and stamp.exists() and stamp.read_text() == self._sources):
            if name.startswith("data/"):
                self._make_data(unit)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                catalog.make_model(name, path)
            stamp.write_text(self._sources)
        if name not in self._checked:
            self._remember(name, digest_of(path))
            self._checked.add(name)
        return path

    def _make_data(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for part, arrays in catalog.DATASETS[folder.name]().items():
            np.savez(folder / f"{part}.npz", **arrays)  # Without times, so equal arrays give equal bytes.

    def _remember(self, name, digest):
        if self.digests.get(name) == digest:
            return
        if name in self.digests:
            print(f"study: {name} is not what it was: its cells are new ones")
        self.digests[name] = digest
        self._manifest.parent.mkdir(parents=True, exist_ok=True)
        self._manifest.write_text(json.dumps(self.digests, indent=0, sort_keys=True) + "\n", encoding="utf-8")
