"""Prints what the three jobs of tools/demo came to, and writes summary.json.

usage: demo_summary.py FOLDER, with FOLDER/{dense,sa_pp,magnitude}.json (the jobs as `topiary get`
gives them in JSON) and the downloaded files in folders of the same names. Exits with 1, and says
which, if a figure is not what the demo has to show.
"""
import datetime
import json
import pathlib
import sys

# What the demo has to show. Accuracies are fractions; a difference of rounding is none.
DENSE_ACCURACY = 0.905
SA_PP_BELOW_DENSE = 0.015
SA_PP_BELOW_MAGNITUDE = 0.003
SPARSITY = 0.85
SIZE_OF_DENSE = 0.35
ROUNDING = 1e-9


def seconds(text):
    """A timestamp of protobuf's JSON ("2024-05-01T10:00:00.123456789Z") as whole seconds."""
    whole = text.rstrip("Z").split(".")[0]
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp()


def summarize(folder):
    jobs = {name: json.loads((folder / f"{name}.json").read_text())
            for name in ("dense", "sa_pp", "magnitude")}
    starts = [seconds(job["start_time"]) for job in jobs.values()]
    ends = [seconds(job["end_time"]) for job in jobs.values()]
    result = jobs["sa_pp"]["result"]
    return {
        "dense_accuracy": jobs["dense"]["result"]["dense_metrics"]["accuracy"],
        "sa_pp_accuracy": result["pruned_metrics"]["accuracy"],
        "magnitude_accuracy": jobs["magnitude"]["result"]["pruned_metrics"]["accuracy"],
        "sparsity_requested": result["sparsity_requested"],
        "sparsity_reached": result["sparsity_reached"],
        "checkpoint_bytes": (folder / "sa_pp" / "model.safetensors").stat().st_size,
        "dense_bytes": (folder / "dense" / "model.onnx").stat().st_size,
        "model_path": str(folder / "sa_pp" / "model.onnx"),
        "jobs_seconds": max(ends) - min(starts),
    }


def print_table(summary):
    ratio = summary["checkpoint_bytes"] / summary["dense_bytes"]
    print("Fashion-MNIST, 10,000 test images, seed 0; fashion_cnn: its layers conv3 and fc1, 99 % of")
    print("the weights, have 144 and 2,048 blocks of 16x16; the small layers stay dense.")
    print()
    print(f"{'model':<30}{'accuracy':>10}")
    print("-" * 40)
    for title, key in (("dense", "dense_accuracy"), ("SequentialAttention++", "sa_pp_accuracy"),
                       ("gradual magnitude", "magnitude_accuracy")):
        print(f"{title:<30}{100 * summary[key]:>8.2f} %")
    print()
    print(f"sparsity   {100 * summary['sparsity_requested']:.1f} % of the blocks requested, "
          f"{100 * summary['sparsity_reached']:.1f} % of all weights reached")
    print(f"size       {summary['checkpoint_bytes']:,} bytes pruned, {summary['dense_bytes']:,} "
          f"dense: {ratio:.3f} of it")
    print(f"time       {summary['jobs_seconds']:.0f} s for the three jobs, on two workers")
    print(f"model      {summary['model_path']}")


def missed(summary):
    """A line for each figure that is not what the demo has to show."""
    dense, sa_pp = summary["dense_accuracy"], summary["sa_pp_accuracy"]
    least = [
        ("dense_accuracy", dense, DENSE_ACCURACY, ""),
        ("sa_pp_accuracy", sa_pp, dense - SA_PP_BELOW_DENSE,
         f": dense_accuracy less {SA_PP_BELOW_DENSE}"),
        ("sa_pp_accuracy", sa_pp, summary["magnitude_accuracy"] - SA_PP_BELOW_MAGNITUDE,
         f": magnitude_accuracy less {SA_PP_BELOW_MAGNITUDE}"),
        ("sparsity_reached", summary["sparsity_reached"], SPARSITY, ""),
    ]
    # Not "value < bound", which is false for NaN.
    lines = [f"{name} is {value:.4f}, must be at least {bound:.4f}{why}"
             for name, value, bound, why in least if not value >= bound - ROUNDING]
    most = SIZE_OF_DENSE * summary["dense_bytes"]
    if not summary["checkpoint_bytes"] <= most:
        lines.append(f"checkpoint_bytes is {summary['checkpoint_bytes']:,}, must be at most "
                     f"{most:,.0f}: {SIZE_OF_DENSE} of dense_bytes")
    return lines


def main():
    folder = pathlib.Path(sys.argv[1])
    summary = summarize(folder)
    path = folder / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    print_table(summary)
    print(f"summary    {path}")
    lines = missed(summary)
    for line in lines:
        print(f"missed     {line}")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
