"""Means, spreads and tables of rows."""

import statistics

from studies import paired_tests


def values_of(rows, metric):
    return [row["metrics"][metric] for row in succeeded_rows(rows)]


def succeeded_rows(rows):
    return [row for row in rows if row["state"] == "SUCCEEDED"]


def mean_and_spread(values):
    """Mean and standard deviation (0 of one value); None of none."""
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def figure_text(values, digits, more=""):
    """"0.946 ± 0.002 (5)"; one value has no spread."""
    if not values:
        return ""
    mean, spread = mean_and_spread(values)
    spread = f" ± {spread:.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread} ({len(values)}{more})"


def cell_text(rows, metric, digits=4):
    """"0.9461 ± 0.0021 (5)": mean, standard deviation over seeds, number of seeds; failures are told."""
    values = values_of(rows, metric)
    failed = f", {len(rows) - len(values)} failed" if len(values) < len(rows) else ""
    if not values:
        return f"failed ({len(rows)})" if rows else ""
    return figure_text(values, digits, failed)


def markdown(head, lines):
    """A table; its first column is text, the others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + "\n"


def pairs(rows_a, rows_b, metric):
    """(group, difference) for each cell that both have: cells are paired by all but the method, and
    those of one task and seed, which have weights and order of examples in common, are a group."""
    def by_cell(rows):
        return {(row["task"], row["seed"], row.get("sparsity"), row.get("block")): row["metrics"][metric]
                for row in succeeded_rows(rows)}

    a, b = by_cell(rows_a), by_cell(rows_b)
    return [(cell[:2], a[cell] - b[cell]) for cell in sorted(a.keys() & b.keys())]


def compare(found):
    """Of differences as pairs() finds them: how many, their mean, the p of the t test over the means of
    groups, and those of the sign permutations of groups and of single differences. None of none."""
    if not found:
        return None
    groups = {}
    for group, difference in found:
        groups.setdefault(group, []).append(difference)
    _, t_p = paired_tests.paired_t([statistics.fmean(group) for group in groups.values()])
    return {"pairs": len(found), "groups": len(groups), "mean": statistics.fmean(d for _, d in found),
            "t_p": t_p, "group_p": paired_tests.sign_permutation_p(list(groups.values())),
            "pair_p": paired_tests.sign_permutation_p([[d] for _, d in found])}


def paired_lines(title, tasks, rows_of, sparsities):
    """Lines of a table of paired tests, positive where the first of two methods is better: for each metric, task, all tasks
    of that metric where several have rows, and sparsity. `rows_of(task, sparsity)` are the rows of both; `sparsities(tasks)` those to compare."""
    lines = []
    for metric, sign in (("accuracy", 1), ("log_loss", -1)):
        some = [task for task in tasks if task.metric == metric]
        for name, group in [*((task.title, [task]) for task in some), ("all together", some)]:
            for sparsity in sparsities(group):
                of_tasks = [found for task in group if (found := pairs(*rows_of(task, sparsity), metric))]
                if name == "all together" and len(of_tasks) < 2:
                    continue
                found = [(key, sign * difference) for of_task in of_tasks for key, difference in of_task]
                if result := compare(found):
                    lines.append([title, name, f"{100 * sparsity:g} %", metric,
                                  f"{result['pairs']} ({result['groups']} seeds)", f"{result['mean']:+.4f}",
                                  p_text(result["t_p"]), p_text(result["group_p"]), p_text(result["pair_p"])])
    return lines


def paired_table(first, lines):
    """The table of such lines, of differences from the method `first`."""
    return markdown([f"{first} less", "data", "sparsity", "metric", "pairs", "mean", "t test", "permutation by seeds",
                     "permutation by pairs"], lines)


def p_text(p):
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
