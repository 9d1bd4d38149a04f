#include "lamina/train/metrics_tail.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "metrics_record.hpp"

namespace lamina {

MetricsTail::MetricsTail(std::filesystem::path file, std::int64_t bytes)
    : file_(std::move(file)), bytes_(bytes) {}

bool MetricsTail::read() {
  std::error_code missing;
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file_, missing));
  if (missing || size == position_) return false;
  const bool begins = position_ < 0, was_shortened = size < position_;
  if (begins || was_shortened) {
    position_ = std::max<std::int64_t>(0, size - bytes_);
    unfinished_.clear();
    figures_ = {};
  }
  std::ifstream in(file_, std::ios::binary);
  in.seekg(position_);
  if ((begins || was_shortened) && position_ > 0) {
    std::string cut;  // of this line only the end is left
    std::getline(in, cut);
    position_ += static_cast<std::int64_t>(cut.size()) + 1;
  }
  const std::string more{std::istreambuf_iterator<char>(in), {}};
  position_ += static_cast<std::int64_t>(more.size());
  unfinished_ += more;
  bool any = false;
  std::size_t begin = 0;
  for (std::size_t end; (end = unfinished_.find('\n', begin)) != std::string::npos; begin = end + 1)
    any = take(unfinished_.substr(begin, end - begin)) || any;
  unfinished_.erase(0, begin);
  return any;
}

// A line that a killed run left incomplete is passed over.
bool MetricsTail::take(const std::string& line) {
  RunFigures updated = figures_;
  try {
    add_record(updated, nlohmann::json::parse(line));
  } catch (const nlohmann::json::exception&) {
    return false;
  }
  figures_ = std::move(updated);
  return true;
}

}  // namespace lamina
