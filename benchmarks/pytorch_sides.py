#!/usr/bin/env python3
"""PyTorch's sides of the comparisons, in a process of their own: plain training, and torch.distributed.pipelining.

    benchmarks/pytorch_sides.py '{"side": "plain", "backbone": "resnet32", "batch": 256, "threads": 2, "steps": 10}'

Takes a request and answers in JSON; sides.py asks. The network, its loss and its optimizer are those that Lamina trains end
to end; batch norm sees a micro-batch at a time in both, and the data lie in memory.
"""

import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "app"))
from torch_resnet import CifarResNet  # noqa: E402

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
WARMUP_STEPS = 3
TRIAL_STEPS = 4
CUTS_AROUND = 2  # the balanced one, tried on both sides; further ones while the last is the best


class Permuted(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


def layers_of(request):
    """The network as a list of pieces, between any two of which it may be cut."""
    torch.manual_seed(0)
    network = CifarResNet(int(request["backbone"].removeprefix("resnet"))).to(memory_format=format_of(request))
    stem = nn.Sequential(network.conv1, network.bn1, network.relu)
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.fc)
    return [stem, *network.layer1, *network.layer2, *network.layer3, classifier]


def format_of(request):
    return torch.channels_last if request.get("channels_last", True) else torch.contiguous_format


def batch_of(request, samples):
    images = torch.randn(samples, 3, 32, 32).contiguous(memory_format=format_of(request))
    return images, torch.randint(10, (samples,))


def optimizer_of(network):
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)


def step_s(step, steps, warmup_steps=WARMUP_STEPS):
    """Mean seconds of a step."""
    for _ in range(warmup_steps):
        step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def plain(request):
    torch.set_num_threads(request["threads"])
    device, precision = torch.device(request.get("device", "cpu")), request.get("precision", "fp32")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    network = nn.Sequential(*layers_of(request)).to(device)
    optimizer, loss_of = optimizer_of(network), nn.CrossEntropyLoss()
    images, labels = batch_of(request, request["batch"])

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(network(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss.item()

    return {"images_per_s": request["batch"] / step_s(step, request["steps"])}


def pipeline_step(rank, request):
    """A function that does one training step of this rank's part and returns the loss, which is 0 at the first rank."""
    layers = layers_of(request)
    images, labels = batch_of(request, request["batch"])
    parts = [layers[:request["cut"]], layers[request["cut"]:]]
    if request["channels_last"]:  # gloo takes contiguous tensors alone: seen as NHWC they are, and nothing is copied
        parts = [[*parts[0], Permuted(0, 2, 3, 1)], [Permuted(0, 3, 1, 2), *parts[1]]]
    part = nn.Sequential(*parts[rank])
    optimizer = optimizer_of(part)
    stage = PipelineStage(part, rank, 2, torch.device("cpu"))
    schedule = SCHEDULES[request["schedule"]](stage, request["micro_batches"], loss_fn=nn.CrossEntropyLoss())

    def step():
        optimizer.zero_grad(set_to_none=True)
        losses = []
        if rank:
            schedule.step(target=labels, losses=losses, return_outputs=False)
        else:
            schedule.step(images, return_outputs=False)
        optimizer.step()
        return sum(loss.item() for loss in losses) / request["micro_batches"]

    return step


def pipelined(rank, request):
    return {"images_per_s": request["batch"] / step_s(pipeline_step(rank, request), request["steps"])}


def layer_seconds(request):
    """Each piece's forward and backward on a micro-batch by itself, the median of some."""
    x, _ = batch_of(request, request["batch"] // request["micro_batches"])
    seconds = []
    for layer in layers_of(request):
        times = []
        for _ in range(WARMUP_STEPS + TRIAL_STEPS):
            start = time.perf_counter()
            output = layer(x.detach().requires_grad_(True))
            output.backward(torch.ones_like(output))
            times.append(time.perf_counter() - start)
        seconds.append(statistics.median(times[WARMUP_STEPS:]))
        x = output.detach()
    return seconds


def agreed(value):
    """The first rank's value, at both."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def best_cut(rank, request):
    """The faster memory format by the pieces' own times; of the cuts around the balanced one that of the fastest pipeline."""
    profiles = [(last, layer_seconds(request | {"channels_last": last})) for last in (True, False)]
    channels_last, seconds = agreed(min(profiles, key=lambda profile: sum(profile[1])))
    cuts = range(1, len(seconds))
    balanced = min(cuts, key=lambda cut: max(sum(seconds[:cut]), sum(seconds[cut:])))
    losses = []

    def try_cut(cut):
        step = pipeline_step(rank, request | {"cut": cut, "channels_last": channels_last})
        losses.append([step() for _ in range(WARMUP_STEPS)])
        # Where the network is cut changes nothing that it learns: activations and gradients came over as they were.
        torch.testing.assert_close(losses[-1], losses[0], rtol=1e-3, atol=0)
        return agreed(request["batch"] / step_s(step, TRIAL_STEPS, warmup_steps=0))

    tried = {cut: try_cut(cut) for cut in cuts if abs(cut - balanced) <= CUTS_AROUND}
    while (best := max(tried, key=tried.get)) in (min(tried), max(tried)):
        beyond = best + (1 if best == max(tried) else -1)
        if beyond not in cuts:
            break
        tried[beyond] = try_cut(beyond)
    return {"channels_last": channels_last, "cut": best, "tried": dict(sorted(tried.items()))}


def run_rank(rank, side, request, folder):
    torch.set_num_threads(request["threads"])
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/meeting", 2), rank=rank, world_size=2)
    answer = side(rank, request)
    dist.barrier()
    if rank:
        print(json.dumps(answer), flush=True)
    dist.destroy_process_group()


def main():
    request = json.loads(sys.argv[1])
    if request["side"] == "plain":
        print(json.dumps(plain(request)))
        return
    side = {"pipelined": pipelined, "best_cut": best_cut}[request["side"]]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(run_rank, (side, request, folder), nprocs=2, start_method="fork")


if __name__ == "__main__":
    main()
