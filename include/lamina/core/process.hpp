#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lamina {

/// This host's name.
std::string host_name();

/// What all containers and virtual hosts of one running system share (Linux's boot id), else the host's name.
std::string machine_id();

/// This process's id.
int process_id();

/// Seconds since this process was started. @throws Error{device}, or Error{storage}, if /proc does not tell.
double process_age_s();

/// Seconds since the run was started that this process belongs to: since LAMINA_BEGAN, in Unix seconds, which
/// launch/run sets and keeps over its restarts; without it the process's own. @throws as process_age_s().
double run_age_s();

/// Bytes of a MiB, by which memory is told.
constexpr double mib = 1 << 20;

/// Resident memory of this process now, in MiB (/proc/self/statm). @throws Error{device} if none is told.
double resident_mib();

/// The most this process has had resident, in MiB (VmHWM). @throws Error{device}, or Error{storage}, if
/// /proc/self/status does not tell.
double peak_resident_mib();

/// Processors that this thread can keep busy, at least 1: those of its affinity mask, not the machine's, and
/// no more than processor_quota() rounded up.
int usable_processors();

/// The processors' worth of time that this process's control groups leave to all that run in them, e.g. 7.5
/// (cpu.max of version 2, cpu.cfs_quota_us of version 1); nothing: as much as there is. `root` is the folder
/// that holds the system's /proc and /sys.
std::optional<double> processor_quota(const std::filesystem::path& root = "/");

}  // namespace lamina
