"""One training step of supervised local learning, as naively as the method can be read, in double precision.

Every loss recomputes its forward from the images: what lies before its window runs without a graph, what lies within it
with one, and backward adds its gradient to the others'. Slow and simple on purpose: Lamina, which runs one forward per
module, is compared with it number by number. Run as a script it checks itself (reference_checks.py).
"""

import dataclasses

import torch
import torch.nn.functional as F

import reference_heads as heads
import reference_networks as networks

FRAMEWORK_HEADS = {"greedy": "linear", "dgl": "dgl", "infopro": "infopro", "predsim": "predsim",
                   "auglocal": "auglocal", "man": "infopro", "man++": "infopro", "hpff": "hpff"}
WITH_LAM_ONLY = ("man", "man++")


@dataclasses.dataclass(frozen=True)
class Config:
    """What a step depends on besides parameters and data. `mlaan` puts MLAAN on the framework."""

    n: int  # of the network with 6n+2 layers
    ends: list  # [stage, block] of the last block of every module but the last
    framework: str = "greedy"
    mlaan: bool = False
    leaps: list = ()  # per module but the last, its leap blocks; man and man++ know their own
    head: str = None  # the classifier instead of the framework's own; infopro, man, man++ and hpff keep their decoder
    k: int = 3  # window; hpff has 2
    wx: float = 0.001
    wy: float = 0.999
    m: float = 0.995
    lam_on: str = "cascaded"  # independent, none
    ema_depth: str = "first"  # all
    compat: str = "none"  # release
    num_classes: int = 10
    image_side: int = 32
    l1: tuple = (5.0, 0.0)  # of InfoPro's reconstruction, module 0 and module K-2
    l2: tuple = (0.5, 0.0)  # of InfoPro's task
    contrast: bool = False
    auglocal_depth: int = 2
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4

    def __post_init__(self):
        kind = FRAMEWORK_HEADS[self.framework]
        if self.mlaan and (self.framework in WITH_LAM_ONLY or self.framework == "hpff"):
            raise ValueError(f"{self.framework} does not take MLAAN")
        if self.head and self.head not in heads.CLASSIFIERS:
            raise ValueError(f"no classification head {self.head}")
        if self.head and kind in ("predsim", "auglocal"):
            raise ValueError(f"the head of {self.framework} cannot be replaced")
        if self.contrast and self.task != "1c2f":
            raise ValueError("contrast needs the head 1c2f")
        if self.lam != "none" and len(self.leap_sets) != self.num_modules - 1:
            raise ValueError("one leap set for each module but the last")

    @property
    def modules(self):
        return networks.modules_of(self.n, self.ends)

    @property
    def num_modules(self):
        return len(self.ends) + 1

    @property
    def head_kind(self):
        kind = FRAMEWORK_HEADS[self.framework]
        return self.head if self.head and kind not in heads.COMPOSED else kind

    @property
    def task(self):
        """The classifier within a composed head."""
        return self.head or "1c2f"

    @property
    def cascaded(self):
        return self.mlaan or self.framework == "hpff"

    @property
    def released(self):
        return self.mlaan and self.compat == "release"

    @property
    def window(self):
        return 2 if self.framework == "hpff" else self.k

    @property
    def lam(self):
        if self.framework in WITH_LAM_ONLY:
            return "independent"
        return self.lam_on if self.mlaan else "none"

    @property
    def leap_sets(self):
        if self.framework in WITH_LAM_ONLY and not self.leaps:
            return [module[:1] for module in self.modules[1:]]
        return [[tuple(block) for block in leap] for leap in self.leaps]

    @property
    def weights(self):
        return {"independent": self.wx if self.cascaded else 1.0, "cascaded": self.wy}

    def branches(self, i):
        """The losses of module i."""
        both = ["independent", "cascaded"] if self.cascaded else ["independent"]
        if not self.released:
            return both
        if i == self.num_modules - 1:
            return ["cascaded"]
        return both if i >= self.window - 1 else []

    def weight(self, i, branch):
        return 1.0 if self.released and i == self.num_modules - 1 else self.weights[branch]

    def window_start(self, i, branch):
        return i if branch == "independent" else max(0, i - self.window + 1)

    def has_lam(self, i, branch):
        return branch == self.lam and i < self.num_modules - 1 and branch in self.branches(i)

    def lams(self):
        """The modules whose LAM takes part in a loss."""
        return [i for i in range(self.num_modules) if self.has_lam(i, self.lam)]

    def place(self, i, branch):
        """Where a head of module i stands: on the module's last block or on the last leap block."""
        block = (self.leap_sets[i] if self.has_lam(i, branch) else self.modules[i])[-1]
        way = i / (self.num_modules - 2) if self.num_modules > 2 else 0.0
        return heads.Place(channels=networks.width(block), side=networks.side(block, self.image_side),
                           num_classes=self.num_classes, layer=networks.all_blocks(self.n).index(block),
                           num_layers=3 * self.n + 1, task=self.task, contrast=self.contrast,
                           l1=self.l1[0] + (self.l1[1] - self.l1[0]) * way,
                           l2=self.l2[0] + (self.l2[1] - self.l2[0]) * way, depth=self.auglocal_depth,
                           module=i, num_modules=self.num_modules)


@dataclasses.dataclass
class Result:
    losses: dict  # `loss.<i>.independent`, `loss.<i>.cascaded`: floats, without wx and wy
    grads: dict  # by name, of every parameter that is trained
    params_new: dict
    momentum_new: dict


def parameter_shapes(config):
    """Shape of every parameter that the step reads, the EMA blocks' among them."""
    shapes = networks.backbone_shapes(config.n, config.num_classes)
    for i in config.lams():
        shapes |= networks.lam_shapes(i, config.leap_sets[i], config.ema_depth, config.framework == "man++")
    for i in range(config.num_modules - 1):
        for branch in config.branches(i):
            below = heads.head_shapes(config.head_kind, config.place(i, branch))
            shapes |= networks.under(f"head.{i}.{branch}.", below)
    return shapes


def make_parameters(config, generator):
    """A state in which no two parameters are alike: EMA, aug and live blocks differ, norms are not 1 and 0."""
    params = {}
    for name, shape in parameter_shapes(config).items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) == 4:
            params[name] = noise * (2 / (shape[0] * shape[2] * shape[3])) ** 0.5
        elif len(shape) == 2:
            params[name] = noise / shape[1] ** 0.5
        else:
            params[name] = 0.1 * noise + (0.0 if name.endswith(".bias") else 1.0)
    return params


def is_trained(name):
    return not name.startswith("ema.")


def has_gradient_of_rounding(config, name):
    """Whether the exact gradient is zero, a norm cancelling the bias, so that what is computed means nothing."""
    head = config.task if config.head_kind in ("infopro", "hpff") else config.head_kind
    return (head in ("dgl", "mlp_sr") and name.startswith("head.")
            and name.endswith((".fc1.bias", ".fc2.bias", ".fc3.bias")))


def loss_of(config, p, i, branch, x, y, image):
    """One loss of module i with the graph of its window, from the images on."""
    modules, start = config.modules, config.window_start(i, branch)
    with torch.no_grad():
        a = networks.run_modules(p, modules[:start], x)
    a = networks.run_modules(p, modules[start:i + 1], a)
    if i == config.num_modules - 1:
        return F.cross_entropy(networks.classify(p, a), y)
    if config.has_lam(i, branch):
        a = networks.run_lam(p, i, config.leap_sets[i], config.ema_depth, a)
    return heads.head_loss(config.head_kind, p, f"head.{i}.{branch}.", a, y, image, config.place(i, branch))


def followers(config):
    """The blocks whose EMA the step updates: those of every LAM, or in the released code of the last LAM only."""
    lams = config.lams()[-1:] if config.released else config.lams()
    return {block for i in lams for block in networks.followed_blocks(config.leap_sets[i], config.ema_depth)}


def update_averages(config, p):
    """The EMA parameters after the step, from the live ones before it."""
    new = {}
    for block in followers(config):
        for key in networks.block_shapes(block):
            live = networks.prefix(block) + key
            new[f"ema.{live}"] = config.m * p[f"ema.{live}"] + (1 - config.m) * p[live]
    return new


def descend(config, p, grads, momentum):
    """SGD with weight decay on every trained parameter."""
    new, momentum_new = {}, {}
    for name, grad in grads.items():
        grad = grad + config.weight_decay * p[name]
        velocity = config.momentum * momentum.get(name, torch.zeros_like(grad)) + grad
        momentum_new[name] = velocity
        new[name] = p[name] - config.lr * (grad + config.momentum * velocity if config.nesterov else velocity)
    return new, momentum_new


def step(config, params, momentum, x, y, image=None):
    """One step; nothing given is changed.

    `params` may hold more names than parameter_shapes() lists: those pass through. `momentum` holds velocities by
    name, {} at the start. `x` is N x 3 x H x H after augmentation and normalisation, `image` the same before
    normalisation, within [0, 1], needed by decoders only; all in double. `y` is int64.
    """
    p = {name: params[name].detach().clone().requires_grad_(is_trained(name)) for name in parameter_shapes(config)}
    losses = {}
    for i in range(config.num_modules):
        for branch in config.branches(i):
            loss = loss_of(config, p, i, branch, x, y, image)
            (config.weight(i, branch) * loss).backward()
            losses[f"loss.{i}.{branch}"] = loss.item()
    grads = {name: tensor.grad for name, tensor in p.items() if is_trained(name)}
    with torch.no_grad():
        averages = update_averages(config, p)
        trained, momentum_new = descend(config, p, grads, momentum)
    kept = {name: tensor.detach().clone() for name, tensor in params.items()}
    return Result(losses, grads, {**kept, **averages, **trained}, momentum_new)


def steps(config, params, momentum, batches):
    """Results of consecutive steps over (x, y, image) triples."""
    results = []
    for x, y, image in batches:
        results.append(step(config, params, momentum, x, y, image))
        params, momentum = results[-1].params_new, results[-1].momentum_new
    return results


if __name__ == "__main__":
    import reference_checks

    reference_checks.main()
