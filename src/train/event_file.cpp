#include "event_file.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/crc.hpp>
#include <chrono>
#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <string>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;
using protozero::pbf_writer;

// Field numbers of TensorFlow's event.proto and summary.proto.
namespace event {
constexpr protozero::pbf_tag_type wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace session_log {
constexpr protozero::pbf_tag_type status = 1;
constexpr std::int32_t start = 1;
}  // namespace session_log
namespace summary {
constexpr protozero::pbf_tag_type value = 1;
}
namespace value {
constexpr protozero::pbf_tag_type tag = 1, simple_value = 2;
}

struct Scalar {
  const char* key;
  const char* of;  // what a list has an entry of
};
constexpr std::array scalars = {
    Scalar{"lr", ""},
    Scalar{"images_per_s", ""},
    Scalar{"loss", "module"},
    Scalar{"loss_independent", "module"},
    Scalar{"accuracy", "module"},
    Scalar{"busy", "stage"},
    Scalar{"input_wait_s", "stage"},
    Scalar{"room_wait_s", "stage"},
    Scalar{"snapshot_wait_s", "stage"},
    Scalar{"replica_wait_s", "stage"},
    Scalar{"snapshot_age", "stage"},
    Scalar{"skipped", "stage"},
    Scalar{"memory_mib", "stage"},
    Scalar{"device_memory_mib", "stage"},
    Scalar{"test_accuracy", ""},
    Scalar{"test_loss", ""},
};

double wall_time_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// CRC-32C, turned and shifted, since a CRC of a text that holds CRCs says little.
std::uint32_t masked_crc(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const std::uint32_t sum = crc.checksum();
  return ((sum >> 15) | (sum << 17)) + 0xa282ead8u;
}

template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(number); ++i) bytes += static_cast<char>(number >> (8 * i) & 0xff);
  return bytes;
}

std::string event_of(std::int64_t step) {
  std::string bytes;
  pbf_writer writer(bytes);
  writer.add_double(event::wall_time, wall_time_s());
  writer.add_int64(event::step, step);
  return bytes;
}

void add_scalar(pbf_writer& values, const std::string& tag, const Json& number) {
  if (!number.is_number()) return;  // a line has null where nothing is known
  pbf_writer one(values, summary::value);
  one.add_string(value::tag, tag);
  one.add_float(value::simple_value, number.get<float>());
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& directory, std::int64_t start_step)
    : path_(directory /
            fmt::format("events.out.tfevents.{:010.0f}.{}.{}", wall_time_s(), host_name(), process_id())) {
  make_directory(directory);
  out_.open(path_, std::ios::binary);
  std::string version = event_of(0);
  pbf_writer(version).add_string(event::file_version, "brain.Event:2");
  write_event(version);
  std::string start = event_of(start_step);
  {
    pbf_writer writer(start);
    pbf_writer(writer, event::session_log).add_enum(session_log::status, session_log::start);
  }
  write_event(start);
}

void EventFile::add(const Json& record) {
  std::string bytes = event_of(record.at("step"));
  {
    pbf_writer writer(bytes);
    pbf_writer values(writer, event::summary);
    for (const Scalar& scalar : scalars) {
      const auto found = record.find(scalar.key);
      if (found == record.end()) continue;
      if (!found->is_array()) add_scalar(values, scalar.key, *found);
      if (found->is_array())
        for (std::size_t i = 0; i < found->size(); ++i)
          add_scalar(values, fmt::format("{}/{}_{}", scalar.key, scalar.of, i), found->at(i));
    }
  }
  write_event(bytes);
}

void EventFile::write_event(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  out_ << length << little_endian(masked_crc(length)) << event << little_endian(masked_crc(event));
  if (!out_)
    throw Error(
        ErrorKind::storage,
        fmt::format("{}: expected to append an event, found that the disk takes no more", path_.string()));
}

void EventFile::flush() {
  out_.flush();
}

}  // namespace lamina
