#include "lamina/pipeline/pipeline_config.hpp"

#include "lamina/pipeline/end_to_end_schedule.hpp"

namespace lamina {

void PipelineConfig::visit(FieldVisitor& v) {
  std::vector<std::string> schedules = end_to_end_schedule_names();
  schedules.insert(schedules.begin(), "streaming");
  v.field("stages", &stages,
          "number of stages, cut by multiply-adds; or the last module of every stage but the last");
  v.field("workers", &workers,
          "workers that share the stages; auto: as mpirun says, else one a stage and replica", at_least(1));
  v.field("replicas", &replicas,
          "workers that share a stage and split every batch; a number for all stages, or a list with one a "
          "stage");
  v.field("threads", &threads, "intra-op threads of a worker; auto: processors / workers", at_least(1));
  v.field("transport", &transport, "how activations travel", one_of({"auto", "inprocess", "mpi", "nccl"}));
  v.field("device", &device, "where workers compute", one_of({"cpu", "cuda"}));
  v.field("bind", &bind,
          "processors of a worker, unless mpirun has bound it; auto: the NUMA node of its GPU, or a share of "
          "the host's "
          "nodes; cores: a share of the cores",
          one_of({"auto", "cores", "none"}));
  v.field("schedule", &schedule,
          "order of a worker's actions: streaming for local losses; the others train end to end",
          one_of(schedules));
  v.field("micro_batches", &micro_batches, "pieces of a batch that travel by themselves, end to end",
          at_least(1));
  v.field("recompute", &recompute, "end to end: keep a micro-batch's input alone and run its forward again");
  v.field("buffers", &buffers, "messages a lane holds", between(2, 64));
  v.field("memory_format", &memory_format, "of activations and filters",
          one_of({"channels_last", "contiguous"}));
  v.field("precision", &precision,
          "of layers: fp32; tf32, of GPUs alone; bf16, mixed with parameters and losses of fp32",
          one_of({"fp32", "tf32", "bf16"}));
  v.field("transfer", &transfer,
          "of activations between stages, and of their gradients end to end: fp32; bf16, half the bytes, "
          "which rounds unless precision is bf16 too",
          one_of({"fp32", "bf16"}));
  v.field("timeout_s", &timeout_s,
          "seconds that a worker waits for a peer, or keeps its peers waiting, at most", at_least(0.001));
}

}  // namespace lamina
