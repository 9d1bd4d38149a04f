#pragma once

#include <string>
#include <string_view>

namespace lamina {

/// Names the calling thread in every line it logs, e.g. "worker 2". Empty: no label.
void set_log_label(std::string label);
const std::string& log_label();

/// One line on standard error, with the calling thread's label.
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

}  // namespace lamina
