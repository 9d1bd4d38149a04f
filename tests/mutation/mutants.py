"""What could go wrong unnoticed in what has to be the same to the bit, one line of the sources each.

A mutant's edits are exact texts, each once in its file; `tests` is the test binary and GoogleTest's filter of those
that have to fail. A sample always has those that are marked: one of each kind that the project promises to catch.
"""

from typing import NamedTuple


class Edit(NamedTuple):
    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    name: str
    edits: list
    binary: str
    tests: str
    always: bool = False


def mutant(name, file, old, new, binary, tests, always=False):
    return Mutant(name, [Edit(file, old, new)], binary, tests, always)


MUTANTS = [
    # EMAs
    Mutant(
        "an EMA is updated behind its parameters",
        [
            Edit("src/pipeline/stage_update.cpp", "  part.module.update_emas(options_.ema_momentum);\n", ""),
            Edit("src/pipeline/stage_update.cpp", "  part.optimizer.step(grads, lr);\n",
                 "  part.optimizer.step(grads, lr);\n  part.module.update_emas(options_.ema_momentum);\n"),
        ],
        "pipeline", "*EachMethod*", always=True,
    ),
    mutant("an EMA is updated twice a step", "src/pipeline/stage_update.cpp",
           "  part.module.update_emas(options_.ema_momentum);\n",
           "  part.module.update_emas(options_.ema_momentum);\n  part.module.update_emas(options_.ema_momentum);\n",
           "pipeline", "*EachMethod*"),
    mutant("an EMA takes old and new the other way round", "src/nn/module.cpp",
           "at::_foreach_mul_(averages, momentum);\n    at::_foreach_add_(averages, ema.live, 1 - momentum);",
           "at::_foreach_mul_(averages, 1 - momentum);\n    at::_foreach_add_(averages, ema.live, momentum);",
           "nn", "Ema.*"),
    mutant("an EMA that stands still moves", "src/nn/module.cpp", "if (!ema.updated) continue;", "",
           "nn", "Ema.*"),
    mutant("a LAM's scale is its EMA's", "src/nn/branch.cpp",
           "s * aug + (2 - s) * ema", "s * ema + (2 - s) * aug",
           "nn", "*EachLam*"),
    # windows
    mutant("a window is one module longer", "src/pipeline/window_sweep.cpp",
           "static_cast<std::int64_t>(modules_.size()) == window_", "static_cast<std::int64_t>(modules_.size()) == window_ + 1",
           "pipeline", "WindowSweep.*:*EachMethod*"),
    mutant("a window is one module shorter", "src/pipeline/window_sweep.cpp",
           "static_cast<std::int64_t>(modules_.size()) == window_", "static_cast<std::int64_t>(modules_.size()) + 1 >= window_",
           "pipeline", "WindowSweep.*:*EachMethod*"),
    mutant("a window's gradient misses its first module", "src/pipeline/window_sweep.cpp",
           "if (module->own) accumulate", "if (module->own && module + 1 != modules_.rend()) accumulate",
           "pipeline", "WindowSweep.*:*EachMethod*"),
    mutant("a window's gradient is that of all windows so far", "src/pipeline/window_sweep.cpp",
           "if (module->own) accumulate(module->grad_BCHW, grad_BCHW);",
           "if (module->own) accumulate(module->grad_BCHW, grad_BCHW);\n    if (module->own) grad_BCHW = module->grad_BCHW;",
           "pipeline", "WindowSweep.*:*EachMethod*"),
    mutant("windows are not clipped at the first modules", "src/nn/method.cpp",
           "if (plan.release() && module.index < plan.mlaan.window - 1) return {};",
           "if (module.index < plan.mlaan.window - 1) return {};",
           "nn", "MakeModules.*", always=True),
    mutant("the released code's windows begin one module late", "src/nn/method.cpp",
           "module.index < plan.mlaan.window - 1", "module.index < plan.mlaan.window",
           "nn", "*ReleasedCode*"),
    mutant("a loss counts for its module what it should for its window", "src/nn/branch.cpp",
           "result.own_grad = share(own);\n  result.window_grad = share(spec_.window_weight);",
           "result.own_grad = share(spec_.window_weight);\n  result.window_grad = share(own);",
           "nn", "Branch.*"),
    # steps and versions
    mutant("a version bears the number of the step before", "src/pipeline/worker.cpp",
           "snapshots_.publish(stage, step_ + 1);", "snapshots_.publish(stage, step_);",
           "pipeline", "Worker.*", always=True),
    Mutant(
        "a version is the state before its step",
        [
            Edit("src/pipeline/worker.cpp", "  snapshots_.publish(stage, step_ + 1);\n  take_notes();", "  take_notes();"),
            Edit("src/pipeline/worker.cpp", "  packet_ = stage.process(std::move(packet_));\n  StageReport& report",
                 "  snapshots_.publish(stage, step_ + 1);\n  packet_ = stage.process(std::move(packet_));\n"
                 "  StageReport& report"),
        ],
        "pipeline", "Worker.*:*Lookahead*",
    ),
    mutant("a lag is one step longer", "src/pipeline/snapshot_policy.cpp",
           "std::max<std::int64_t>(0, step - lag) / every * every",
           "std::max<std::int64_t>(0, step - lag - 1) / every * every",
           "pipeline", "SnapshotPolicy.*"),
    mutant("a lag is one step shorter", "src/pipeline/snapshot_policy.cpp",
           "std::max<std::int64_t>(0, step - lag) / every * every",
           "std::max<std::int64_t>(0, step - std::max<std::int64_t>(0, lag - 1)) / every * every",
           "pipeline", "SnapshotPolicy.*"),
    mutant("a reader asks for the version of the step before", "src/pipeline/snapshot_plane.cpp",
           "policy_.version_for(step), limit_", "policy_.version_for(std::max<std::int64_t>(0, step - 1)), limit_",
           "pipeline", "SnapshotPlane.*"),
    mutant("a checkpoint lacks the oldest version that is still read", "src/pipeline/snapshot_plane.cpp",
           "snapshot->version >= policy_.version_for(step)", "snapshot->version > policy_.version_for(step)",
           "pipeline", "SnapshotPlane.*"),
    mutant("a step ahead uses the version before", "src/pipeline/stage_end_to_end.cpp",
           "return part.older && !is_ahead ? *part.older : part.module;", "return part.older ? *part.older : part.module;",
           "pipeline", "StageEndToEnd.*:WorkerEndToEnd.*"),
    mutant("of two versions the momentum stays behind", "src/pipeline/stage_update.cpp",
           "    part.optimizer.follow(parameters);\n", "",
           "pipeline", "StageEndToEnd.*"),
    # samples and labels
    mutant("labels are those of the next images", "src/data/batch_maker.cpp",
           "y[i] = drawn.label;", "y[(i + 1) % request.count] = drawn.label;",
           "data", "Loader.*", always=True),
    mutant("a replica's labels are another's", "src/pipeline/share.cpp",
           "piece.y_B = slice_of(packet.y_B, first, end);",
           "piece.y_B = slice_of(packet.y_B.roll(1), first, end);",
           "pipeline", "Share.*"),
    mutant("a micro-batch's labels are shifted", "src/pipeline/share.cpp",
           "micro.y_B = slice_of(packet.y_B, share.first, share.end);",
           "micro.y_B = slice_of(packet.y_B.roll(1), share.first, share.end);",
           "pipeline", "StageEndToEnd.*:WorkerEndToEnd.*"),
    mutant("the last batch of an epoch is left out", "src/train/stream_plan.cpp",
           "steps_per_epoch_((num_train + config.train.batch - 1) / config.train.batch)",
           "steps_per_epoch_(num_train / config.train.batch)",
           "train", "StreamPlan.*"),
    mutant("a short batch counts as a whole one", "src/pipeline/stage_end_to_end.cpp",
           "static_cast<double>(features.size(0)) / static_cast<double>(packet.batch)",
           "1.0 / static_cast<double>(options_.micro_batches)",
           "pipeline", "StageEndToEnd.*"),
    mutant("an epoch has the order of the one before", "src/data/loader.cpp",
           "if (request.training && (!order || order_epoch != request.epoch)) {", "if (request.training && !order) {",
           "data", "Loader.*"),
    mutant("an image is augmented by its number, not its place", "src/data/batch_maker.cpp",
           "RandomUse::augmentation, request.epoch, position)", "RandomUse::augmentation, request.epoch, index)",
           "data", "Loader.*"),
    mutant("an epoch has the learning rate of the one before", "src/train/lr_schedule.cpp",
           "step / steps_per_epoch + 1)", "step / steps_per_epoch)",
           "train", "LearningRate.*:EpochLr.*"),
    # gradients
    mutant("an activation leaves with its graph", "src/pipeline/stage.cpp",
           "    x_BCHW = pass.features();\n    sweep.open(i, std::move(pass));",
           "    x_BCHW = pass.output;\n    sweep.open(i, std::move(pass));",
           "pipeline", "Stage.*"),
    mutant("a module's input keeps its graph", "src/nn/module.cpp",
           "  Pass pass{.input = x_BCHW.detach()};\n  if (to_input)", "  Pass pass{.input = x_BCHW};\n  if (to_input)",
           "nn", "Module.*"),
    mutant("a module runs forward twice a step", "src/pipeline/stage.cpp",
           "    Pass pass = module.forward(x_BCHW, Mode::train, /*to_input=*/",
           "    module.forward(x_BCHW, Mode::train);\n    Pass pass = module.forward(x_BCHW, Mode::train, /*to_input=*/",
           "pipeline", "*EachMethod*:StageLookahead.*"),
    mutant("a recomputed forward moves the running statistics again", "src/nn/chain.cpp",
           "if (mode == Mode::replay)\n", "if (false)\n",
           "pipeline", "StageEndToEnd.*"),
    mutant("a skipped step moves the running statistics", "src/pipeline/stage_update.cpp",
           "if (!statistics_.empty()) at::_foreach_copy_(statistics_, kept_statistics_);", "",
           "pipeline", "Nonfinite.*"),
    mutant("replicas are added from the last on", "src/comm/group_sum.cpp",
           "  sum.copy_(from_.front());\n  for (std::size_t member = 1; member < from_.size(); ++member) sum.add_(from_[member]);",
           "  sum.copy_(from_.back());\n  for (std::size_t member = from_.size() - 1; member-- > 0;) sum.add_(from_[member]);",
           "comm_nccl", "*"),
    mutant("threads are added from the last on", "src/comm/inprocess.cpp",
           "  for (const at::Tensor& value : values.front())\n"
           "    sums.push_back(value.detach().clone(at::MemoryFormat::Contiguous));\n"
           "  for (std::size_t member = 1; member < values.size(); ++member) at::_foreach_add_(sums, values[member]);",
           "  for (const at::Tensor& value : values.back())\n"
           "    sums.push_back(value.detach().clone(at::MemoryFormat::Contiguous));\n"
           "  for (std::size_t member = values.size() - 1; member-- > 0;) at::_foreach_add_(sums, values[member]);",
           "comm", "*InprocessContract*"),
    mutant("a replica's gradient counts as the whole batch's", "src/pipeline/stage_update.cpp",
           "at::_foreach_mul_(grads, packet.share());", "",
           "pipeline", "Worker.*"),
    # the optimizer
    mutant("momentum is dampened", "src/nn/sgd.cpp", "/*dampening=*/0.0", "/*dampening=*/config_.momentum",
           "nn", "*Sgd*"),
    mutant("momentum begins anew at every step", "src/nn/sgd.cpp", "/*is_first_step=*/false", "/*is_first_step=*/true",
           "nn", "*Sgd*"),
    mutant("Nesterov's look ahead is left out", "src/nn/sgd.cpp", "config_.nesterov && accelerates", "false",
           "nn", "*Sgd*"),
    mutant("short gradients are stretched to the norm", "src/pipeline/stage_update.cpp",
           "factor.clamp_max(1.0)", "factor",
           "pipeline", "Clipping.*"),
    # resuming
    mutant("a checkpoint forgets the momentum", "src/train/checkpoint_format.cpp",
           "part.optimizer.momentum().at(trained++));", "part.optimizer.momentum().at(trained++).clone());",
           "train", "Checkpoint*"),
    mutant("a resumed run leaves out the evaluation that was due", "src/train/stream_plan.cpp",
           "due_(start.evaluated ? Due::train : Due::eval)", "due_(Due::train)",
           "train", "StreamPlan.*"),
    mutant("every epoch has the order of the first", "src/train/stream_plan.cpp",
           ".training = true, .epoch = epoch,", ".training = true, .epoch = 0,",
           "train", "StreamPlan.*"),
]
