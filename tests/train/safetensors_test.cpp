#include "lamina/train/safetensors.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

const TensorList& examples() {
  static const TensorList list = {
      {"weight", at::randn({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)},
      {"double", at::randn({2, 5}, at::kDouble)},
      {"count", at::full({}, 7, at::kLong)},
      {"image", at::randint(256, {3, 2}, at::kByte)},
      {"none", at::empty({0, 3})}};
  return list;
}

std::string written() {
  const TemporaryDirectory directory;
  write_safetensors(directory.path() / "x", examples());
  return read_file(directory.path() / "x");
}

TEST(Safetensors, ReadBackIsWhatWasWritten) {
  const auto found = parse_safetensors(written(), "x");
  ASSERT_EQ(found.size(), examples().size());
  for (const auto& [name, tensor] : examples()) {
    EXPECT_EQ(found.at(name).scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  }
}

TEST(Safetensors, TheDigestIsTheFiles) {
  const TemporaryDirectory directory;
  const FileDigest digest = write_safetensors(directory.path() / "x", examples());
  const std::string bytes = read_file(directory.path() / "x");
  EXPECT_EQ(digest.sha256, sha256_hex(bytes));
  EXPECT_EQ(digest.num_bytes, static_cast<std::int64_t>(bytes.size()));
}

TEST(Safetensors, AFileCutAnywhereIsRefused) {
  const std::string whole = written();
  for (std::size_t size = 0; size < whole.size(); size += size < 400 ? 1 : 97)
    EXPECT_THROW(parse_safetensors(whole.substr(0, size), "x"), Error) << size;
}

TEST(Safetensors, AHeaderThatPromisesTooMuchIsRefusedBeforeAnythingIsAllocated) {
  const auto with_header = [](const std::string& header) {
    const std::uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + header + std::string(16, '\0');
  };
  for (const char* entry :
       {R"({"dtype":"F32","shape":[1000000000000,1000000000],"data_offsets":[0,16]})",
        R"({"dtype":"F32","shape":[4],"data_offsets":[0,12]})",
        R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})",
        R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})",
        R"({"dtype":"F32","shape":[4],"data_offsets":[8,24]})",
        R"({"dtype":"Q4","shape":[4],"data_offsets":[0,16]})", R"({"shape":[4]})", R"([])"})
    EXPECT_THROW(parse_safetensors(with_header(std::string("{\"w\":") + entry + "}"), "x"), Error) << entry;
}

TEST(Safetensors, AFullDiskIsAStorageError) {
  try {
    write_safetensors("/dev/full", {{"w", at::zeros({1 << 16})}});
    FAIL() << "the disk is full";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::storage);
    EXPECT_NE(std::string(e.what()).find("/dev/full"), std::string::npos);
  }
}

}  // namespace
}  // namespace lamina
