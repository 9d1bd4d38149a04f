#pragma once

namespace lamina {

/// From now on SIGTERM, SIGINT, SIGUSR2 and, unless it was ignored, SIGHUP ask the run to stop, whichever
/// worker gets one: the first stage's puts a stop mark into the stream, all stages checkpoint at that step,
/// and the process exits with 0. A second SIGINT leaves at once with 130. SIGUSR1 asks for a checkpoint.
/// Nobody who stops reading the output ends the process.
void install_stop_signals();

/// From now on SIGTERM ends the process at once with this code: the run is over, and whatever a stop would
/// have to agree on can never come.
void exit_at_sigterm(int exit_code);

/// True once a signal to stop has come.
bool stop_requested();

/// True once after SIGUSR1, however often it came since it was last asked.
bool checkpoint_requested();

}  // namespace lamina
