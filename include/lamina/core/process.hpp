#pragma once

#include <cstdint>
#include <string>

namespace lamina {

/// This host's name.
std::string host_name();

/// What all containers and virtual hosts of one running system share (Linux's boot id), else the host's name.
std::string machine_id();

/// This process's id.
int process_id();

/// Seconds since this process was started.
double process_age_s();

/// Seconds since the run was started that this process belongs to: since LAMINA_BEGAN, in Unix seconds, which
/// launch/run sets and keeps over its restarts; without it the process's own.
double run_age_s();

/// Resident memory of this process now, in MiB (/proc/self/statm).
double resident_mib();

/// The most this process has had resident, in MiB (VmHWM).
double peak_resident_mib();

/// Processors that this thread may run on (its affinity mask, not the machine's count).
int usable_processors();

}  // namespace lamina
