#include "lamina/train/safetensors.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "train/plain_json.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

struct DType {
  const char* name;
  at::ScalarType type;
};
constexpr std::array<DType, 4> dtypes = {
    {{"F32", at::kFloat}, {"F64", at::kDouble}, {"I64", at::kLong}, {"U8", at::kByte}}};

const char* dtype_name(at::ScalarType type) {
  for (const DType& dtype : dtypes)
    if (dtype.type == type) return dtype.name;
  throw Error(ErrorKind::contract,
              fmt::format("safetensors: tensors of {} are not written", at::toString(type)));
}

std::string make_header(const TensorList& tensors) {
  Json header = Json::object();
  std::int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto end = offset + static_cast<std::int64_t>(tensor.nbytes());
    header[name] = {{"dtype", dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  // The format allows trailing spaces; they align the data for readers that map the file.
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

struct Extent {
  std::uint64_t begin, end;
  auto operator<=>(const Extent&) const = default;
};

Extent extent_of(const Json& entry, std::uint64_t num_bytes) {
  const auto offset = [&](std::size_t which) {
    const Json& number = entry.at("data_offsets").at(which);
    return number.is_number_unsigned() ? number.get<std::uint64_t>() : num_bytes + 1;
  };
  const Extent extent{offset(0), offset(1)};
  if (extent.begin > extent.end || extent.end > num_bytes)
    throw std::invalid_argument("its data lies outside the file");
  return extent;
}

// Reads one entry of the header; `data` is what follows the header.
at::Tensor parse_entry(const Json& entry, std::string_view data) {
  const auto name = entry.at("dtype").get<std::string>();
  const auto dtype =
      std::find_if(dtypes.begin(), dtypes.end(), [&](const DType& d) { return name == d.name; });
  if (dtype == dtypes.end()) throw std::invalid_argument(fmt::format("dtype {} is not known", name));
  const auto sizes = entry.at("shape").get<std::vector<std::int64_t>>();
  const auto [begin, end] = extent_of(entry, data.size());
  // Checked before anything is allocated: the sizes must account for the bytes exactly.
  std::uint64_t num_bytes = at::elementSize(dtype->type);
  for (const std::int64_t size : sizes) {
    if (size < 0 || (size > 0 && num_bytes > data.size() / size))
      throw std::invalid_argument("its shape is too large");
    num_bytes *= size;
  }
  if (num_bytes != end - begin)
    throw std::invalid_argument(
        fmt::format("its shape needs {} bytes, the file has {}", num_bytes, end - begin));
  at::Tensor tensor = at::empty(sizes, dtype->type);
  // An empty tensor has no address, which copying by memcpy would not allow.
  std::copy_n(data.data() + begin, num_bytes, static_cast<char*>(tensor.data_ptr()));
  return tensor;
}

// Every byte is some tensor's and no more than one's, as the format has it: otherwise a short file could ask
// for memory many times its size.
void require_each_byte_once(std::vector<Extent> extents, std::uint64_t num_bytes) {
  std::sort(extents.begin(), extents.end());
  std::uint64_t end = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != end)
      throw std::invalid_argument(
          fmt::format("data that begin at byte {} where others end at {}", extent.begin, end));
    end = extent.end;
  }
  if (end != num_bytes)
    throw std::invalid_argument(fmt::format("data of {} bytes in a file of {}", end, num_bytes));
}

}  // namespace

FileDigest write_safetensors(const std::filesystem::path& path, const TensorList& tensors) {
  DurableFile file(path);
  Sha256 sha;
  FileDigest digest;
  const auto put = [&](const void* bytes, std::size_t size) {
    file.write(bytes, size);
    sha.update(bytes, size);
    digest.num_bytes += static_cast<std::int64_t>(size);
  };
  const std::string header = make_header(tensors);
  const std::uint64_t length = header.size();
  put(&length, sizeof length);
  put(header.data(), header.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor dense = tensor.detach().cpu().contiguous();
    put(dense.data_ptr(), dense.nbytes());
  }
  file.close();
  digest.sha256 = sha.hex();
  return digest;
}

std::map<std::string, at::Tensor> parse_safetensors(const std::string& bytes,
                                                    const std::filesystem::path& path) {
  std::string place = "header";
  try {
    std::uint64_t length = 0;
    if (bytes.size() < sizeof length) throw std::invalid_argument("the file is shorter than 8 bytes");
    std::memcpy(&length, bytes.data(), sizeof length);
    const std::string_view rest = std::string_view(bytes).substr(sizeof length);
    if (length > rest.size()) throw std::invalid_argument("it is longer than the file");
    Json header = parse_plain(rest.substr(0, length));
    const std::string_view data = rest.substr(length);
    header.erase("__metadata__");
    std::vector<Extent> extents;
    for (const auto& [name, entry] : header.items()) {
      place = name;
      extents.push_back(extent_of(entry, data.size()));
    }
    place = "header";
    require_each_byte_once(std::move(extents), data.size());
    std::map<std::string, at::Tensor> tensors;
    for (const auto& [name, entry] : header.items()) {
      place = name;
      tensors.emplace(name, parse_entry(entry, data));
    }
    return tensors;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorKind::checkpoint, fmt::format("{}: expected a safetensors file, found a bad {}: {}",
                                                   path.string(), place, e.what()));
  }
}

std::map<std::string, at::Tensor> read_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path);
}

}  // namespace lamina
