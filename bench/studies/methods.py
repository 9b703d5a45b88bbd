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


def plan(phases):
    """The phases of a run, pairs of kind and part of all steps, as a spec has them."""
    return {"phases": {"phases": [{"kind": kind, "fraction": fraction} for kind, fraction in phases]}}


def cycles(count, first, last):
    """A plan of AC/DC: dense for `first`, then `count` times sparse and dense in equal parts, of which the
    last one stays sparse for `last` more."""
    part = (1 - first - last) / (2 * count - 1)
    return plan([("DENSE", first), *((count - 1) * [("SPARSE", part), ("DENSE", part)]), ("SPARSE", part + last)])


AC_DC_PLANS = {
    "imagenet": {"preset": "PAPER_IMAGENET"},
    "cifar10": {"preset": "PAPER_CIFAR10"},
    # Fewer, longer phases, since runs here are short: 10 % dense, 20 % sparse, 20 % dense, 50 % sparse.
    "two_cycles": cycles(2, first=0.1, last=0.3),
}
# How pruning proceeds, where a method lets one choose: as by default, and earlier, so that half of the run
# is left to train what was kept.
GRADUAL = {"default": {"begin_fraction": 0.2, "end_fraction": 0.7}, "early": {"begin_fraction": 0.0, "end_fraction": 0.5},
           "long": {"begin_fraction": 0.1, "end_fraction": 0.8}}
PHASES = {"default": (("DENSE", 0.2), ("SPARSIFICATION", 0.5), ("SPARSE", 0.3)),
          "early": (("DENSE", 0.1), ("SPARSIFICATION", 0.4), ("SPARSE", 0.5))}
POWER_FORMS = {"element": {"element": {"exponent": 2}}, "block": {"block": {}}}
# Methods without numbers of their own have as many learning rates to choose from.
RATES_ALONE = product([{}], factors=(1, 3, 0.3, 0.6, 2, 5))

METHODS = {method.name: method for method in [
    Method("sequential_attention_pp", "SequentialAttention++",
           product([{"logits_rate": 10, "pruning": "default"}, {"logits_rate": 30, "pruning": "default"},
                    {"logits_rate": 10, "pruning": "early"}]),
           lambda s: {"sequential_attention_pp": {**plan(PHASES[s["pruning"]]),
                                                  "logits_learning_rate_multiplier": s["logits_rate"]}}),
    Method("magnitude_gradual", "gradual magnitude", product([{"pruning": pruning} for pruning in GRADUAL]),
           lambda s: {"magnitude": {"gradual": GRADUAL[s["pruning"]]}}),
    Method("ac_dc", "AC/DC", product([{"plan": plan} for plan in AC_DC_PLANS]),
           lambda s: {"ac_dc": AC_DC_PLANS[s["plan"]]}),
    Method("power_propagation", "PowerPropagation",
           product([{"form": "element", "pruning": "default"}, {"form": "block", "pruning": "default"},
                    {"form": "block", "pruning": "early"}]),
           lambda s: {"power_propagation": {**POWER_FORMS[s["form"]], "gradual": GRADUAL[s["pruning"]]}}),
    Method("magnitude_one_shot", "one-shot magnitude", product([{"at": 0.3}, {"at": 0.1}, {"at": 0.5}]),
           lambda s: {"magnitude": {"one_shot": {"at_fraction": s["at"]}}}),
    Method("random", "random", RATES_ALONE, lambda s: {"random": {}}),
    Method("dense", "dense", RATES_ALONE, lambda s: {"dense": {}}, prunes=False),
]}
