"""The methods of the pruning studies, and what is tuned of each: six settings of a learning rate and
of its own numbers, no method more than another."""

import dataclasses
import itertools
from typing import Callable

GRID_SIZE = 6


@dataclasses.dataclass(frozen=True)
class Method:
    """`spec` turns settings into the part of a CompressionSpec that names the method.

    Settings hold "learning_rate", a factor of the task's, and the method's own numbers. The first
    of `grid` is what is taken where nothing was tuned.
    """

    name: str
    title: str
    grid: tuple
    spec: Callable[[dict], dict]
    prunes: bool = True


def product(own, factors=(1, 3)):
    """Each of a method's own settings with each factor of the learning rate."""
    return tuple({**settings, "learning_rate": factor} for settings, factor in itertools.product(own, factors))


def cycles(count, first, last):
    """A plan of AC/DC: dense for `first`, then `count` times sparse and dense in equal parts, the last
    sparse phase of length `last`."""
    part = (1 - first - last) / (2 * count - 1)
    phases = [{"kind": "DENSE", "fraction": first}]
    for _ in range(count - 1):
        phases += [{"kind": "SPARSE", "fraction": part}, {"kind": "DENSE", "fraction": part}]
    phases += [{"kind": "SPARSE", "fraction": part + last}]
    return {"phases": phases}


AC_DC_PLANS = {
    "imagenet": {"preset": "PAPER_IMAGENET"},
    "cifar10": {"preset": "PAPER_CIFAR10"},
    # Fewer, longer phases, since runs here are short; it ends sparse for as long as SA++ does.
    "two_cycles": {"phases": cycles(2, first=0.2, last=0.15)},
}
POWER_FORMS = {
    "element_2": {"element": {"exponent": 2}},
    "element_3": {"element": {"exponent": 3}},
    "block": {"block": {}},
}
# Methods without numbers of their own have as many learning rates to choose from.
RATES_ALONE = product([{}], factors=(1, 3, 0.3, 0.6, 2, 5))

METHODS = {method.name: method for method in [
    Method("sequential_attention_pp", "SequentialAttention++",
           product([{"logits_rate": 10}, {"logits_rate": 30}, {"logits_rate": 3}]),
           lambda s: {"sequential_attention_pp": {"logits_learning_rate_multiplier": s["logits_rate"]}}),
    Method("magnitude_gradual", "gradual magnitude",
           product([{"begin": 0.2, "end": 0.7}, {"begin": 0.1, "end": 0.8}, {"begin": 0.0, "end": 0.5}]),
           lambda s: {"magnitude": {"gradual": {"begin_fraction": s["begin"], "end_fraction": s["end"]}}}),
    Method("ac_dc", "AC/DC", product([{"plan": plan} for plan in AC_DC_PLANS]),
           lambda s: {"ac_dc": AC_DC_PLANS[s["plan"]]}),
    Method("power_propagation", "PowerPropagation", product([{"form": form} for form in POWER_FORMS]),
           lambda s: {"power_propagation": {**POWER_FORMS[s["form"]], "gradual": {}}}),
    Method("magnitude_one_shot", "one-shot magnitude", product([{"at": 0.5}, {"at": 0.3}, {"at": 0.7}]),
           lambda s: {"magnitude": {"one_shot": {"at_fraction": s["at"]}}}),
    Method("random", "random", RATES_ALONE, lambda s: {"random": {}}),
    Method("dense", "dense", RATES_ALONE, lambda s: {"dense": {}}, prunes=False),
]}
