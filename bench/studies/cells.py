"""What a study is made of: cells, each of which is one job, and the rows that finished jobs leave."""

import dataclasses
import hashlib
import json

# A string of a spec that begins with this names an artifact; its digest takes its place.
REFERENCE = "@"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One job of a study.

    `spec` is a CompressionSpec in protobuf's JSON, in which "@name" stands for the digest of the
    artifact `name`. The other fields say where the job belongs in the study's tables.
    """

    task: str  # Which model on which data.
    method: str
    seed: int
    spec: dict
    sparsity: float | None = None
    block: int | None = None
    settings: dict = dataclasses.field(default_factory=dict)  # What was tuned, or is varied.
    run: str = ""  # Tells jobs of the same spec apart, where a study has several.
    keep: str = ""  # The artifact that the job's model becomes, for other cells to start from.


def canonical(value):
    """The one text of a JSON value: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def references(value):
    """The names of the artifacts that a spec refers to, each once, in a fixed order."""
    if isinstance(value, dict):
        found = [name for key in sorted(value) for name in references(value[key])]
    elif isinstance(value, list):
        found = [name for item in value for name in references(item)]
    elif isinstance(value, str) and value.startswith(REFERENCE):
        found = [value.removeprefix(REFERENCE)]
    else:
        found = []
    return list(dict.fromkeys(found))


def resolve(value, digests):
    """The spec with the digests of its artifacts in their places. KeyError names one that lacks."""
    if isinstance(value, dict):
        return {key: resolve(item, digests) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, digests) for item in value]
    if isinstance(value, str) and value.startswith(REFERENCE):
        return digests[value.removeprefix(REFERENCE)]
    return value


def key_of(cell, digests):
    """What identifies a cell: a digest of its spec, with the digests of model and data, and its run.

    A spec that changes in anything, data included, gets another key; rows of the old one are then no
    longer part of the study. None where the digest of an artifact is not known yet.
    """
    try:
        spec = resolve(cell.spec, digests)
    except KeyError:
        return None
    return hashlib.sha256(canonical({"spec": spec, "run": cell.run}).encode()).hexdigest()[:24]


def layers_of(report):
    """Of each layer, or, where a structure is pruned, of each group of candidates: [live, all], or "dense"."""
    if "groups" in report:
        return {group["name"]: "dense" if "dense_reason" in group else [group["live"], group["candidates"]]
                for group in report["groups"]}
    return {layer["name"]: [layer["blocks_live"], layer["blocks_total"]] if layer["pruned"] else "dense"
            for layer in report["layers"]}


def pruned_of(report):
    """Names of the candidates that are gone, where they have names, as branches and layers have."""
    return [name for group in report.get("groups", []) for name in group.get("pruned", [])]


def make_row(key, cell, job, report):
    """The line that a finished job leaves: `job` as `topiary --output json` prints it, `report` its
    report.json, or None where it failed."""
    row = {"key": key, "task": cell.task, "method": cell.method, "seed": cell.seed}
    for name in ("sparsity", "block", "settings", "run"):
        if getattr(cell, name):
            row[name] = getattr(cell, name)
    row["state"] = job["state"].removeprefix("JOB_STATE_")
    row["attempts"] = len(job.get("attempts", []))
    if report is None:
        row["reason"] = job.get("reason", "").removeprefix("JOB_REASON_")
        row["error"] = job.get("error", {}).get("message", "")
        return row
    result = job["result"]
    files = {file["kind"]: file for file in result["files"]}
    row["metrics"] = result.get("pruned_metrics") or result.get("dense_metrics") or result["given_metrics"]
    if "sparsity_reached" in result:
        row["sparsity_reached"] = round(result["sparsity_reached"], 6)
    row["layers"] = layers_of(report)
    if pruned_of(report):
        row["pruned"] = pruned_of(report)
    row["bytes"] = {name: int(files[kind]["size_bytes"])
                    for name, kind in (("onnx", "ONNX"), ("block_sparse", "BLOCK_SPARSE")) if kind in files}
    if "ONNX" in files:
        row["model"] = files["ONNX"]["digest"]
    row["seconds"] = round(report["costs"]["total_seconds"], 2)
    row["steps"] = report["task"]["steps"]
    environment = report["environment"]
    row["determinism"] = {"isa": environment["isa"], "threads": environment["threads"],
                          "plan": environment["plan_digest"][:16], **environment["versions"]}
    row["bit_exact"] = result.get("bit_exact", False)
    return row
