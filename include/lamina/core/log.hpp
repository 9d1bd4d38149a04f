#pragma once

#include <string>
#include <string_view>

namespace lamina {

/// Names the calling thread in every line it logs, e.g. "worker 2". Empty: no label.
void set_log_label(std::string label);
const std::string& log_label();

/// The message with a label and a colon before it; as it is if it begins with the label already.
std::string labelled(const std::string& label, std::string_view message);

/// One line on standard error, with the calling thread's label.
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

}  // namespace lamina
