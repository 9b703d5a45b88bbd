"""The tasks of the pruning studies: which model is trained on which data, and how."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Task:
    """What is the same for all methods: model, data, epochs, optimizer, which layers may be pruned."""

    name: str
    title: str
    model: str  # The artifact "model/MODEL/seedN.onnx".
    data: str  # The data set; its parts are train and test.
    epochs: int
    batch_size: int
    learning_rate: float  # Times the factors that are tuned.
    optimizer: dict
    layers: dict  # Of the PruningTarget: min_blocks and patterns.
    sparsities: tuple
    blocks: tuple
    seconds: float  # Of one job on one core, before any has run; then the measured times count.
    loss: str = "CROSS_ENTROPY"
    divide_by: float = 1
    metric: str = "accuracy"  # By which methods are compared and tuned;
    lower_is_better: bool = False
    more_metrics: tuple = ()  # these are in the report as well.
    seeds: int = 3
    more_seeds: dict = dataclasses.field(default_factory=dict)  # Sparsity -> seeds.
    tuned_on: str = ""  # Another task, whose settings this one takes over.
    tuned_at: tuple = ((0.95, 16), (0.98, 32))  # (sparsity, block)

    def seeds_at(self, sparsity):
        return range(self.more_seeds.get(sparsity, self.seeds))

    def better(self, a, b):
        """Whether the metric `a` is better than `b`."""
        return a < b if self.lower_is_better else a > b


ADAMW = {"adamw": {}, "weight_decay": 1e-4}
# From 90 % on, where the paper expects methods to differ, and once below 80 %, where it does not.
FULL = {"sparsities": (0.7, 0.9, 0.95, 0.97, 0.98), "blocks": (8, 16, 32), "more_seeds": {0.95: 5, 0.98: 5}}
SHORT = {"sparsities": (0.95, 0.98), "blocks": (16, 32)}
# The output layer stays dense: it has so few blocks that some classes would lose all of theirs at
# small blocks, where it would be pruned, and none at large ones.
MLP_LAYERS = {"exclude_layers": ["4.weight"], "min_blocks": 32}

TASKS = {task.name: task for task in [
    Task("isolet_mlp", "ISOLET, MLP 617-512-512-26", "mlp/617-512-512-26", "isolet", epochs=30,
         batch_size=256, learning_rate=2e-3, optimizer=ADAMW, layers=MLP_LAYERS, seconds=5,
         **FULL),
    Task("fashion_mlp", "Fashion-MNIST, MLP 784-512-512-10", "mlp/784-512-512-10", "fashion_mnist",
         epochs=10, batch_size=256, learning_rate=1e-3, optimizer=ADAMW, layers=MLP_LAYERS,
         divide_by=255, seconds=12, **FULL),
    Task("fashion_cnn", "Fashion-MNIST, CNN", "fashion_cnn", "fashion_mnist", epochs=4, batch_size=128,
         learning_rate=1e-3, optimizer=ADAMW, layers={"min_blocks": 32}, divide_by=255, seconds=25,
         **SHORT),
    Task("mnist_cnn", "MNIST, CNN", "fashion_cnn", "mnist", epochs=4, batch_size=128,
         learning_rate=1e-3, optimizer=ADAMW, layers={"min_blocks": 32}, divide_by=255, seconds=25,
         tuned_on="fashion_cnn", **SHORT),
    Task("adult_mlp", "Adult, MLP 108-512-512-1", "mlp/108-512-512-1", "adult", epochs=10,
         batch_size=256, learning_rate=1e-3, optimizer=ADAMW, layers=MLP_LAYERS, seconds=3,
         loss="BINARY_CROSS_ENTROPY", metric="log_loss", lower_is_better=True,
         more_metrics=("accuracy", "auc"), **SHORT),
    # As in the paper, the first dense layer alone is pruned.
    Task("clicks", "generated click data, 2,000,000 rows, layer of 390x400", "clicks", "clicks", epochs=1,
         batch_size=1024, learning_rate=1e-3, optimizer={"adam": {}},
         layers={"include_layers": ["first.weight"], "min_blocks": 32}, seconds=45,
         loss="BINARY_CROSS_ENTROPY", metric="log_loss", lower_is_better=True, more_metrics=("auc",), **SHORT),
]}


def make_spec(task, method, seed, learning_rate, sparsity=None, block=None, validation_fraction=None):
    """The CompressionSpec of a job: `method` is the part of it that names the method.

    With `validation_fraction` that part of the training data is held out and the test data are not
    touched, as tuning must do.
    """
    data = {"train": {"npz": {"digest": f"@data/{task.data}/train.npz"}}, "divide_by": task.divide_by}
    if validation_fraction is None:
        data["evaluation"] = {"npz": {"digest": f"@data/{task.data}/test.npz"}}
    else:
        data["validation_fraction"] = validation_fraction
    spec = {
        "model": {"files": [{"path": "model.onnx", "digest": f"@model/{task.model}/seed{seed}.onnx"}]},
        "data": data,
        "task": {"loss": task.loss, "optimizer": task.optimizer, "batch_size": task.batch_size,
                 "learning_rate": {"base": learning_rate, "cosine": {}}, "epochs": task.epochs,
                 "seed": seed},
        "outputs": {"latency": False},
        "placement": {"threads": 1},
        **method,
    }
    if sparsity is not None:
        spec["target"] = {"sparsity": sparsity, "block_rows": block, "block_cols": block, **task.layers}
    return spec
