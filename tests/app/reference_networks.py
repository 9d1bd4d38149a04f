"""The CIFAR ResNet and its leap blocks as functions of a dictionary of parameters, for the reference of the method.

A block is a pair [s, b]: stage s from 1, block b from 0; [0, 0] is the stem. Nothing here has state: batch norm always
uses the batch's own statistics, and every parameter is looked up by its full name.
"""

import torch
import torch.nn.functional as F

STEM = (0, 0)


def all_blocks(n):
    """Stem and blocks of the network of 6n+2 layers, first to last."""
    return [STEM] + [(stage, block) for stage in (1, 2, 3) for block in range(n)]


def width(block):
    return 16 if block == STEM else 8 << block[0]


def stride(block):
    return 2 if block[0] > 1 and block[1] == 0 else 1


def side(block, image_side):
    """Height and width of the block's output: each of stages 2 and 3 halves them, rounding up."""
    for _ in range(block[0] - 1):
        image_side = (image_side + 1) // 2
    return image_side


def prefix(block):
    return "" if block == STEM else f"layer{block[0]}.{block[1]}."


def norm_shapes(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def linear_shapes(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def residual_shapes(inputs, outputs, step):
    shapes = {"conv1.weight": (outputs, inputs, 3, 3), **norm_shapes("bn1", outputs),
              "conv2.weight": (outputs, outputs, 3, 3), **norm_shapes("bn2", outputs)}
    if step != 1 or inputs != outputs:
        shapes |= {"downsample.0.weight": (outputs, inputs, 1, 1), **norm_shapes("downsample.1", outputs)}
    return shapes


def block_shapes(block):
    """Shapes by name, without the block's prefix."""
    if block == STEM:
        return {"conv1.weight": (16, 3, 3, 3), **norm_shapes("bn1", 16)}
    inputs = width(block) // 2 if stride(block) == 2 else width(block)
    return residual_shapes(inputs, width(block), stride(block))


def under(name, shapes):
    return {name + key: shape for key, shape in shapes.items()}


def backbone_shapes(n, num_classes):
    shapes = {}
    for block in all_blocks(n):
        shapes |= under(prefix(block), block_shapes(block))
    return shapes | linear_shapes("fc", 64, num_classes)


def batch_norm(p, name, x):
    return F.batch_norm(x, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True, eps=1e-5)


def linear(p, name, x):
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def basic_block(p, name, x, step):
    z = F.conv2d(x, p[f"{name}conv1.weight"], stride=step, padding=1)
    z = F.relu(batch_norm(p, f"{name}bn1", z))
    z = batch_norm(p, f"{name}bn2", F.conv2d(z, p[f"{name}conv2.weight"], padding=1))
    if f"{name}downsample.0.weight" in p:
        x = batch_norm(p, f"{name}downsample.1", F.conv2d(x, p[f"{name}downsample.0.weight"], stride=step))
    return F.relu(z + x)


def run_block(p, block, x):
    if block == STEM:
        return F.relu(batch_norm(p, "bn1", F.conv2d(x, p["conv1.weight"], padding=1)))
    return basic_block(p, prefix(block), x, stride(block))


def classify(p, a):
    return linear(p, "fc", a.mean((2, 3)))


def modules_of(n, ends):
    """The blocks of each module; the ends name the last block of every module but the last."""
    modules, rest = [], all_blocks(n)
    for end in ends:
        cut = rest.index(tuple(end)) + 1
        modules.append(rest[:cut])
        rest = rest[cut:]
    if not rest:
        raise ValueError("the last module is empty: do not list the final block as an end")
    return modules + [rest]


def run_modules(p, modules, x):
    for module in modules:
        for block in module:
            x = run_block(p, block, x)
    return x


def followed_blocks(leaps, ema_depth):
    """The leap blocks that have a frozen copy beside the trained one."""
    return leaps if ema_depth == "all" else leaps[:1]


def lam_shapes(i, leaps, ema_depth, scaled):
    shapes = {}
    for j, block in enumerate(leaps):
        shapes |= under(f"lam.{i}.aug.{j}.", block_shapes(block))
    for block in followed_blocks(leaps, ema_depth):
        shapes |= under(f"ema.{prefix(block)}", block_shapes(block))
    return shapes | ({f"lam.{i}.scale": (1,)} if scaled else {})


def run_lam(p, i, leaps, ema_depth, h):
    """MAN++ is recognised by its scale: s*aug + (2-s)*ema instead of the plain sum."""
    s = p.get(f"lam.{i}.scale", torch.ones(1, dtype=h.dtype))
    for j, block in enumerate(leaps):
        z = basic_block(p, f"lam.{i}.aug.{j}.", h, stride(block))
        if j == 0 or ema_depth == "all":
            z = s * z + (2 - s) * basic_block(p, f"ema.{prefix(block)}", h, stride(block))
        h = z
    return h
