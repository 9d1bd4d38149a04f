#pragma once

#include <string>

#include "lamina/core/config.hpp"

namespace lamina {

struct PipelineConfig {
  IntOrList stages =
      std::int64_t{1};  ///< N cut by static multiply-adds, or the last module of every stage but the last
  IntOrAuto workers{};  ///< auto: as mpirun says; started plainly, one a stage, at most one a processor
  IntOrList replicas =
      std::int64_t{1};  ///< of every stage; a list has one a stage, each on workers of its own
  IntOrAuto threads{};  ///< intra-op, a worker; auto: processors / workers
  std::string transport =
      "auto";  ///< auto: under mpirun nccl between GPUs and mpi between CPUs, else inprocess
  std::string device = "cpu";
  std::string bind = "auto";           ///< auto: to NUMA nodes; cores; none
  std::string schedule = "streaming";  ///< or one that trains end to end: end_to_end_schedule_names()
  std::int64_t micro_batches = 1;      ///< that a batch is cut into, by samples; end to end
  bool recompute = false;              ///< end to end: run forwards again rather than keep their graphs
  std::int64_t buffers = 2;            ///< messages a lane holds
  std::string memory_format = "channels_last";
  std::string precision = "fp32";  ///< of the layers: fp32 | tf32 | bf16
  std::string transfer = "fp32";   ///< of activations between stages: fp32 | bf16
  double timeout_s = 600;          ///< the longest that anybody waits for a peer, or keeps one waiting
  void visit(FieldVisitor& v);
};

}  // namespace lamina
