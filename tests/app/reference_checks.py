"""Checks of the reference itself: against finite differences, against torch's own modules and optimizer, and against
the form with one forward per module."""

import dataclasses

import torch

import mlaan_reference as reference
import reference_heads as heads
import reference_networks as networks
from torch_resnet import CifarResNet

TINY = reference.Config(n=1, ends=[[1, 0], [2, 0]], leaps=[[[2, 0], [3, 0]], [[3, 0]]], framework="dgl", mlaan=True,
                        k=2, wx=0.3, wy=0.7, num_classes=4, image_side=8)
SMALL = dataclasses.replace(TINY, n=2, ends=[[1, 0], [1, 1], [2, 0], [2, 1], [3, 0]], image_side=16, k=3,
                            leaps=[[[2, 0], [3, 0], [3, 1]]] * 2 + [[[3, 0], [3, 1]]] * 2 + [[[3, 1]]])
R32_K8 = reference.Config(
    n=5, ends=[[1, 0], [1, 2], [1, 4], [2, 1], [2, 3], [3, 0], [3, 2]], mlaan=True,
    leaps=[[[2, 0], [3, 0], [3, 2], [3, 4]]] * 2 + [[[2, 0], [3, 0], [3, 3], [3, 4]]]
    + [[[3, 0], [3, 2], [3, 3], [3, 4]]] * 2 + [[[3, 2], [3, 3], [3, 4]], [[3, 3], [3, 4]]])


def batch(config, seed=1, size=6):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(size, 3, config.image_side, config.image_side, generator=generator, dtype=torch.float64)
    return (image - 0.5) / 0.25, torch.arange(size) % min(3, config.num_classes), image


def state(config, seed=0):
    return reference.make_parameters(config, torch.Generator().manual_seed(seed))


def distance(a, b):
    return ((a - b).norm() / b.norm().clamp(min=1e-300)).item()


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_same(found, wanted, limit=1e-9, absolute=1e-13):
    """`absolute` is for what is zero by construction, as the gradient of a bias before a norm."""
    expect(found.keys() == wanted.keys(), f"other names: {found.keys() ^ wanted.keys()}")
    for name, tensor in wanted.items():
        same = distance(found[name], tensor) <= limit or (found[name] - tensor).norm() <= absolute
        expect(same, f"{name}: {distance(found[name], tensor)}")


def check_sizes():
    def count(prefix):
        shapes = reference.parameter_shapes(R32_K8)
        return sum(torch.Size(shape).numel() for name, shape in shapes.items() if name.startswith(prefix))

    expect(count("lam.") == 1589952, "aug parameters of ResNet-32 in 8 modules")
    expect(count(("conv1", "bn1", "layer", "fc")) == 466906, "parameters of ResNet-32")


def check_backbone_and_optimizer():
    """One module without heads is ordinary training: torch's modules, autograd and SGD must give the same."""
    config = reference.Config(n=1, ends=[], num_classes=4, image_side=8)
    params, (x, y, image) = state(config), batch(config)
    network = CifarResNet(8, classes=4).double()
    network.load_state_dict(params, strict=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    found = reference.steps(config, params, {}, [(x, y, image)] * 3)[-1].params_new
    expect_same(found, {name: tensor.detach() for name, tensor in network.named_parameters()})


def check_finite_differences():
    """A gradient is the slope of the losses whose windows hold the parameter, and of no other loss."""
    params, (x, y, image) = state(TINY), batch(TINY)
    grads = reference.step(TINY, params, {}, x, y, image).grads
    weights = TINY.weights
    cases = {"layer1.0.conv2.weight": [(0, "independent"), (0, "cascaded"), (1, "cascaded")],
             "layer2.0.bn1.bias": [(1, "independent"), (1, "cascaded"), (2, "cascaded")],
             "layer3.0.conv1.weight": [(2, "independent"), (2, "cascaded")],
             "fc.bias": [(2, "independent"), (2, "cascaded")],
             "lam.0.aug.0.conv1.weight": [(0, "cascaded")],
             "head.1.independent.fc2.weight": [(1, "independent")],
             "head.1.cascaded.conv1.weight": [(1, "cascaded")]}
    for name, losses in cases.items():
        index = params[name].numel() // 2
        values = []
        for shift in (-1e-6, 1e-6):
            moved = {key: tensor.clone() for key, tensor in params.items()}
            moved[name].view(-1)[index] += shift
            values.append(sum(weights[branch] * reference.loss_of(TINY, moved, i, branch, x, y, image).item()
                              for i, branch in losses))
        slope, found = (values[1] - values[0]) / 2e-6, grads[name].view(-1)[index].item()
        expect(abs(slope - found) < 1e-6 * max(1e-2, abs(slope)), f"{name}: slope {slope}, gradient {found}")


def one_forward(config, params, x, y, image):
    """Gradients with one forward per module and one pullback per window, docs/method.md, The step."""
    p = {name: tensor.clone().requires_grad_(reference.is_trained(name)) for name, tensor in params.items()}
    modules, last = config.modules, config.num_modules - 1
    inputs, outputs, a = [], [], x
    for module in modules:
        inputs.append(a.detach().requires_grad_())
        outputs.append(networks.run_modules(p, [module], inputs[-1]))
        a = outputs[-1]
    at_output = {}
    for i in range(last + 1):
        for branch in config.branches(i):
            leaf = outputs[i].detach().requires_grad_()
            z = leaf
            if i == last:
                loss = torch.nn.functional.cross_entropy(networks.classify(p, z), y)
            else:
                if config.has_lam(i, branch):
                    z = networks.run_lam(p, i, config.leap_sets[i], config.ema_depth, z)
                loss = heads.head_loss(config.head_kind, p, f"head.{i}.{branch}.", z, y, image, config.place(i, branch))
            (config.weight(i, branch) * loss).backward()
            at_output[i, branch] = leaf.grad
    handed = {}  # by window: its gradient at the input of the module that was run last
    for j in range(last, -1, -1):
        windows = {i: v for i, v in handed.items() if config.window_start(i, "cascaded") <= j}
        if (j, "cascaded") in at_output:
            windows[j] = at_output[j, "cascaded"]
        if j > 0:
            handed = {i: torch.autograd.grad(outputs[j], inputs[j], v, retain_graph=True)[0]
                      for i, v in windows.items()}
        terms = list(windows.values()) + [at_output[key] for key in [(j, "independent")] if key in at_output]
        outputs[j].backward(sum(terms))
    return {name: tensor.grad for name, tensor in p.items() if reference.is_trained(name)}


def check_one_forward():
    variants = [dict(k=k) for k in (1, 2, 3, 4, 9)]
    variants += [dict(lam_on="independent"), dict(lam_on="none"), dict(ema_depth="all"), dict(compat="release"),
                 dict(framework="hpff", mlaan=False), dict(framework="man++", mlaan=False, leaps=[])]
    for variant in variants:
        config = dataclasses.replace(SMALL, **variant)
        params, (x, y, image) = state(config), batch(config)
        expect_same(one_forward(config, params, x, y, image),
                    reference.step(config, params, {}, x, y, image).grads)


def check_averages():
    """Before its block is stepped, an EMA takes (1-m) of the block as it was; only the named ones move."""
    for compat, moved in (("none", {(2, 0), (3, 0), (3, 1)}), ("release", {(3, 1)})):
        config = dataclasses.replace(SMALL, compat=compat)
        expect(reference.followers(config) == moved, f"followers under {compat}")
        params = state(config)
        new = reference.step(config, params, {}, *batch(config)).params_new
        for block in ((2, 0), (3, 0), (3, 1)):
            live = networks.prefix(block) + "conv1.weight"
            old = params.get(f"ema.{live}")
            if old is not None:
                wanted = 0.995 * old + 0.005 * params[live] if block in moved else old
                expect(distance(new[f"ema.{live}"], wanted) < 1e-14, f"EMA of {live} under {compat}")


def every_combination():
    """Each framework plain and with MLAAN, InfoPro's variants with contrast, and each head that may replace another."""
    for name in reference.FRAMEWORK_HEADS:
        alone = name in ("man", "man++", "hpff")
        config = dataclasses.replace(SMALL, framework=name, mlaan=not alone, l1=(5.0, 0.2), l2=(0.5, 0.8),
                                     leaps=[] if name.startswith("man") else SMALL.leaps)
        yield config
        if not alone:
            yield dataclasses.replace(config, mlaan=False)
        if name in ("infopro", "hpff", "man"):
            yield dataclasses.replace(config, contrast=True)
        if name in ("greedy", "infopro"):
            for head in heads.CLASSIFIERS:
                yield dataclasses.replace(config, head=head)


def check_every_framework():
    """Gradients do not depend on the order of the samples, exist for all that is trained, and are not zero."""
    for config in every_combination():
        params, (x, y, image) = state(config), batch(config)
        order = torch.arange(len(y) - 1, -1, -1)
        grads = reference.step(config, params, {}, x, y, image).grads
        turned = reference.step(config, params, {}, x[order], y[order], image[order]).grads
        for name, grad in grads.items():
            if not reference.has_gradient_of_rounding(config, name):
                expect(grad.norm() > 0 and distance(turned[name], grad) < 1e-9, f"{config.framework}: {name}")


def main():
    torch.set_num_threads(1)
    for check in (check_sizes, check_backbone_and_optimizer, check_finite_differences, check_one_forward,
                  check_averages, check_every_framework):
        check()
        print(f"ok  {check.__name__}")
