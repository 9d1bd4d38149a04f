"""Auxiliary heads as functions of a dictionary of parameters, for the reference of the method.

Names in a head's shapes are relative to the head's prefix, `head.<i>.independent.` or `head.<i>.cascaded.`.
"""

import dataclasses

import torch
import torch.nn.functional as F

from reference_networks import batch_norm, basic_block, linear, linear_shapes, norm_shapes, residual_shapes, under

FEATURES = 128


@dataclasses.dataclass(frozen=True)
class Place:
    """What a head may know about where it stands."""

    channels: int
    side: int
    num_classes: int
    layer: int  # of the block whose output the head sees, counting the stem as 0
    num_layers: int
    task: str  # the classifier within `infopro` and `hpff`
    contrast: bool
    l1: float  # weight of the reconstruction
    l2: float  # weight of the task
    depth: int  # AugLocal's d
    module: int
    num_modules: int


def conv_shape(name, inputs, outputs, kernel):
    return {f"{name}.weight": (outputs, inputs, kernel, kernel)}


def pooled(h):
    return h.mean((2, 3))


# Classifiers: (shapes, logits).

def plain_shapes(place):
    return linear_shapes("fc", place.channels, place.num_classes)


def plain_logits(p, name, h, place):
    return linear(p, f"{name}fc", pooled(h))


def three_and_three_shapes(channels, inner, flat, hidden, num_classes):
    """Three 1x1 convolutions, then three linear layers, each with its norm, then the classifier."""
    shapes = {}
    for i in (1, 2, 3):
        shapes |= conv_shape(f"conv{i}", channels if i == 1 else inner, inner, 1) | norm_shapes(f"bn{i}", inner)
    for i in (1, 2, 3):
        shapes |= linear_shapes(f"fc{i}", flat if i == 1 else hidden, hidden) | norm_shapes(f"fc_bn{i}", hidden)
    return shapes | linear_shapes("fc", hidden, num_classes)


def three_and_three_logits(p, name, h, flatten):
    for i in (1, 2, 3):
        h = F.relu(batch_norm(p, f"{name}bn{i}", F.conv2d(h, p[f"{name}conv{i}.weight"])))
    h = flatten(h)
    for i in (1, 2, 3):
        h = F.relu(batch_norm(p, f"{name}fc_bn{i}", linear(p, f"{name}fc{i}", h)))
    return linear(p, f"{name}fc", h)


def dgl_shapes(place):
    return three_and_three_shapes(place.channels, FEATURES, FEATURES, 4 * FEATURES, place.num_classes)


def dgl_logits(p, name, h, place):
    return three_and_three_logits(p, name, F.adaptive_avg_pool2d(h, 8), pooled)


def mlp_sr_shapes(place):
    c = place.channels
    return three_and_three_shapes(c, c, 4 * c, 4 * c, place.num_classes)


def mlp_sr_logits(p, name, h, place):
    h = F.adaptive_avg_pool2d(h, -(-place.side // 4))
    return three_and_three_logits(p, name, h, lambda z: F.adaptive_avg_pool2d(z, 2).flatten(1))


def one_conv_two_linear_shapes(place):
    outputs = min(2 * place.channels, 64)
    return (conv_shape("conv1", place.channels, outputs, 3) | norm_shapes("bn1", outputs)
            | linear_shapes("fc1", outputs, FEATURES)
            | linear_shapes("fc", FEATURES, FEATURES if place.contrast else place.num_classes))


def one_conv_two_linear_logits(p, name, h, place):
    h = F.conv2d(h, p[f"{name}conv1.weight"], stride=2 if place.channels < 64 else 1, padding=1)
    h = pooled(F.relu(batch_norm(p, f"{name}bn1", h)))
    return linear(p, f"{name}fc", F.relu(linear(p, f"{name}fc1", h)))


CLASSIFIERS = {"linear": (plain_shapes, plain_logits), "dgl": (dgl_shapes, dgl_logits),
               "mlp_sr": (mlp_sr_shapes, mlp_sr_logits),
               "1c2f": (one_conv_two_linear_shapes, one_conv_two_linear_logits)}


def contrastive_loss(features, y, temperature=0.07):
    """Supervised contrast; a sample that is alone in its class has nothing to be drawn to and is left out of the mean."""
    z = features / features.norm(dim=1, keepdim=True)
    similarity = z @ z.T / temperature
    similarity = similarity - similarity.max(1, keepdim=True).values.detach()
    itself = torch.eye(len(y), dtype=torch.bool)
    others = similarity.masked_fill(itself, -torch.inf)
    log_probability = similarity - others.logsumexp(1, keepdim=True)
    positives = ((y[:, None] == y[None, :]) & ~itself).to(z.dtype)
    drawn = positives.sum(1) > 0
    return -((positives * log_probability).sum(1)[drawn] / positives.sum(1)[drawn]).mean()


def task_loss(kind, p, name, h, y, place):
    logits = CLASSIFIERS[kind][1](p, name, h, place)
    return contrastive_loss(logits, y) if place.contrast else F.cross_entropy(logits, y)


# Reconstruction.

def decoder_shapes(channels):
    return conv_shape("conv1", channels, 12, 3) | norm_shapes("bn1", 12) | conv_shape("conv2", 12, 3, 3)


def decoder_loss(p, name, h, image):
    h = F.interpolate(h, size=image.shape[2:], mode="bilinear", align_corners=True)
    h = F.relu(batch_norm(p, f"{name}bn1", F.conv2d(h, p[f"{name}conv1.weight"], padding=1)))
    h = F.conv2d(h, p[f"{name}conv2.weight"], padding=1)
    return F.binary_cross_entropy_with_logits(h, image)


def quadrants(x):
    """Row by row; where a side is odd, the lower and right parts are the larger."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    return [x[:, :, rows, columns] for rows in (slice(height), slice(height, None))
            for columns in (slice(width), slice(width, None))]


def patches_loss(p, name, h, image):
    return sum(decoder_loss(p, f"{name}{q}.", patch, target)
               for q, (patch, target) in enumerate(zip(quadrants(h), quadrants(image))))


# Similarity matching.

PREDSIM_WEIGHT = 0.99
PREDSIM_INPUTS = 4096


def predsim_kernel(place):
    kernel = 1
    while place.channels * (place.side // kernel) ** 2 > PREDSIM_INPUTS:
        kernel *= 2
    return kernel


def predsim_shapes(place):
    inputs = place.channels * (place.side // predsim_kernel(place)) ** 2
    return (linear_shapes("predict.fc", inputs, place.num_classes)
            | conv_shape("similarity.conv", place.channels, place.channels, 3))


def cosine_similarity(x):
    if x.dim() == 4:
        x = x.flatten(2).std(2)
    centred = x - x.mean(1, keepdim=True)
    rows = centred / (1e-8 + centred.square().sum(1, keepdim=True).sqrt())
    return (rows @ rows.T).clamp(-1, 1)


def predsim_loss(p, name, h, y, image, place):
    prediction = F.cross_entropy(linear(p, f"{name}predict.fc", F.avg_pool2d(h, predsim_kernel(place)).flatten(1)), y)
    features = F.conv2d(h, p[f"{name}similarity.conv.weight"], padding=1)
    target = F.one_hot(y, place.num_classes).to(h.dtype)
    match = F.mse_loss(cosine_similarity(features), cosine_similarity(target))
    return (1 - PREDSIM_WEIGHT) * prediction + PREDSIM_WEIGHT * match


# A chain of blocks sampled from the layers that follow.

def auglocal_chain(place):
    """(inputs, outputs, stride) of each block. Python's round takes halves to even."""
    layers_per_stage = (place.num_layers - 1) // 3
    r = place.module * 0.5 / max(1, place.num_modules - 2)
    depth = max(1, round(place.depth * (1 - r) + r))
    chain, inputs = [], place.channels
    for i in range(1, depth + 1):
        layer = round(place.layer + (place.num_layers - place.layer - 1) / depth * i)
        outputs = 16 << max(0, (layer - 1) // layers_per_stage)
        chain.append((inputs, outputs, 2 if outputs > inputs else 1))
        inputs = outputs
    return chain


def auglocal_shapes(place):
    chain, shapes = auglocal_chain(place), {}
    for i, block in enumerate(chain):
        shapes |= under(f"block.{i}.", residual_shapes(*block))
    outputs = chain[-1][1]
    if len(chain) <= 1:
        shapes |= norm_shapes("bn", outputs)
    return shapes | linear_shapes("fc", outputs, place.num_classes)


def auglocal_loss(p, name, h, y, image, place):
    for i, (_, _, step) in enumerate(auglocal_chain(place)):
        h = basic_block(p, f"{name}block.{i}.", h, step)
    h = pooled(h)
    if f"{name}bn.weight" in p:
        h = batch_norm(p, f"{name}bn", h)
    return F.cross_entropy(linear(p, f"{name}fc", h), y)


# Any head by its name.

def infopro_shapes(place):
    return under("task.", CLASSIFIERS[place.task][0](place)) | under("decoder.", decoder_shapes(place.channels))


def infopro_loss(p, name, h, y, image, place):
    return (place.l1 * decoder_loss(p, f"{name}decoder.", h, image)
            + place.l2 * task_loss(place.task, p, f"{name}task.", h, y, place))


def hpff_shapes(place):
    shapes = under("task.", CLASSIFIERS[place.task][0](place))
    for q in range(4):
        shapes |= under(f"decoder.{q}.", decoder_shapes(place.channels))
    return shapes


def hpff_loss(p, name, h, y, image, place):
    return (place.l1 * patches_loss(p, f"{name}decoder.", h, image)
            + place.l2 * task_loss(place.task, p, f"{name}task.", h, y, place))


COMPOSED = {"infopro": (infopro_shapes, infopro_loss), "hpff": (hpff_shapes, hpff_loss),
            "predsim": (predsim_shapes, predsim_loss), "auglocal": (auglocal_shapes, auglocal_loss)}


def head_shapes(kind, place):
    return COMPOSED[kind][0](place) if kind in COMPOSED else CLASSIFIERS[kind][0](place)


def head_loss(kind, p, name, h, y, image, place):
    if kind in COMPOSED:
        return COMPOSED[kind][1](p, name, h, y, image, place)
    return task_loss(kind, p, name, h, y, place)
