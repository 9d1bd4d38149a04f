#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/pipeline/snapshot_plane.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/run_config.hpp"
#include "nn/backbone_families.hpp"
#include "temporary_directory.hpp"
#include "train/checkpoint_format.hpp"

// What docs/formats.md promises: files in tests/train/formats are of every format that was ever written, and
// this build reads them.
namespace lamina {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path formats = LAMINA_FORMATS;
constexpr std::int64_t saved_step = 3;

std::vector<fs::path> fixtures(const std::string& kind, int format) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(formats / kind))
    if (entry.path().filename().string().starts_with(fmt::format("{}-", format)))
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// Three convolutions of two channels, a module each, in two stages.
Backbone tiny_network() {
  Backbone net{.name = "tiny", .num_classes = 3};
  FeatureShape shape{3, 4, 4};
  for (int i = 0; i < 3; ++i) {
    net.blocks.push_back(finished({.id = {1, i},
                                   .name = fmt::format("layer1.{}", i),
                                   .body = {{Conv{2, 3, 1, 1}, "conv1"}, {BatchNorm{}, "bn1"}, {Relu{}}}},
                                  shape));
    shape = net.blocks.back().out;
  }
  net.classifier = {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{3}, "fc"}};
  return net;
}

// Windows, leaps and EMAs, and so published versions, are of format 2 on.
std::vector<Stage> tiny_stages(int format, std::uint64_t seed) {
  const MethodConfig plain{.framework = "greedy"};
  const MethodConfig mlaan{
      .framework = "greedy", .use_mlaan = true, .mlaan = {.window = 2, .leaps = std::string("next")}};
  const Backbone net = tiny_network();
  const auto cut =
      cut_into_stages(make_modules(net, {0, 1}, format < 2 ? plain : mlaan), std::vector<std::int64_t>{0});
  const int window = format < 2 ? 1 : 2;
  std::vector<Stage> stages;
  for (const StageSpec& spec : make_stage_specs(cut, window, true))
    stages.emplace_back(spec, StageOptions{.window = window}, Initializer(seed));
  return stages;
}

Packet tiny_batch(std::int64_t step) {
  at::manual_seed(1000 + step);
  Packet packet{.step = step};
  packet.lr = 0.1;
  packet.batch = 4;
  packet.x_BCHW = at::randn({4, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  packet.y_B = at::randint(3, {4}, at::kLong);
  return packet;
}

// A network trained for some steps in one thread, and its checkpoint.
Manifest write_todays(const fs::path& directory) {
  std::vector<Stage> stages = tiny_stages(checkpoint_format_version, 1);
  const SnapshotPolicy policy{.lag = 2};
  SnapshotPlane plane(policy, std::make_shared<SnapshotBoard>(policy.depth()), nullptr, Seconds(1));
  for (Stage& stage : stages) plane.publish_first(stage, 0, {});
  for (std::int64_t step = 0; step < saved_step; ++step) {
    Packet packet = tiny_batch(step);
    for (Stage& stage : stages) {
      plane.refresh(stage, step);
      packet = stage.process(std::move(packet));
      plane.publish(stage, step + 1);
    }
  }
  RunConfig config;
  config.method.use_mlaan = true;
  const CheckpointWriter writer(directory, to_yaml(list_fields(config)), 2);
  Packet mark{.kind = PacketKind::checkpoint, .step = saved_step};
  for (const Stage& stage : stages)
    mark.notes.push_back(writer.save(state_of(stage, plane.to_save(stage, saved_step)), mark));
  return writer.finish(mark);
}

// Every key that the text has is a field, with the value that the text gives it.
void expect_read_whole(const std::string& yaml, const std::string& where) {
  SCOPED_TRACE(where);
  ConfigText text = ConfigText::from_text(yaml, where);
  std::size_t num_read = 0;
  for (const EffectiveField& field : list_fields(read_run_config(text))) {
    if (text.origin(field.key) == "default") continue;
    const std::string name = field.key.substr(field.key.rfind('.') + 1);
    EXPECT_THAT(yaml, HasSubstr(name + ": " + field.value + "\n")) << field.key;
    ++num_read;
  }
  EXPECT_GT(num_read, 20u);
}

TEST(Formats, ConfigurationsOfEveryFormatAreReadWithEveryKey) {
  for (int format = 1; format <= config_format_version; ++format) {
    const std::vector<fs::path> files = fixtures("config", format);
    ASSERT_FALSE(files.empty()) << "format " << format << " has no fixture";
    for (const fs::path& file : files) expect_read_whole(read_file(file), file.string());
  }
}

TEST(Formats, AConfigurationOfALaterFormatIsRefused) {
  ConfigText text = ConfigText::from_text(fmt::format("format: {}\n", config_format_version + 1), "new.yaml");
  try {
    read_run_config(text);
    FAIL() << "it was read";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::config);
    EXPECT_THAT(e.what(), HasSubstr("new.yaml:1: format: expected"));
  }
}

TEST(Formats, CheckpointsOfEveryFormatAreLoadedWhole) {
  for (int format = 1; format <= checkpoint_format_version; ++format) {
    const std::vector<fs::path> folders = fixtures("checkpoint", format);
    ASSERT_FALSE(folders.empty()) << "format " << format << " has no fixture";
    for (const fs::path& folder : folders) {
      SCOPED_TRACE(folder.string());
      const Manifest manifest = read_manifest(folder);
      EXPECT_EQ(manifest.step, saved_step);
      expect_read_whole(manifest.config, folder.string());
      std::vector<Stage> stages = tiny_stages(format, 2);
      std::size_t num_versions = 0;
      const TemporaryDirectory again;
      const CheckpointWriter writer(again.path(), manifest.config, 2);
      Packet mark{.kind = PacketKind::checkpoint, .step = saved_step};
      for (Stage& stage : stages) {
        num_versions += load_stage(folder, manifest, stage).size();
        mark.notes.push_back(writer.save(state_of(stage), mark));
      }
      EXPECT_EQ(writer.finish(mark).params_sha256, manifest.params_sha256);
      EXPECT_EQ(num_versions > 0, format >= 2);
    }
  }
}

TEST(Formats, ACheckpointOfALaterFormatIsNoDamagedOne) {
  Manifest manifest;
  nlohmann::json sealed = nlohmann::json::parse(seal(manifest));
  sealed["body"]["format"] = checkpoint_format_version + 1;
  sealed["sha256"] = sha256_hex(sealed["body"].dump());
  try {
    unseal(sealed.dump(), "manifest.json");
    FAIL() << "it was read";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_STREQ(e.what(), fmt::format("manifest.json: expected a checkpoint of format 1 to {}, found format "
                                       "{}: another version of Lamina wrote it",
                                       checkpoint_format_version, checkpoint_format_version + 1)
                               .c_str());
  }
}

// Writes today's fixtures into the folder that LAMINA_WRITE_FORMATS names; docs/formats.md tells when.
TEST(Formats, DISABLED_WriteTodays) {
  const char* folder = std::getenv("LAMINA_WRITE_FORMATS");
  ASSERT_TRUE(folder);
  write_todays(folder);
  RunConfig config;
  config.method.use_mlaan = true;
  write_file_atomically(fs::path(folder) / "config.yaml", to_yaml(list_fields(config)));
}

// A key that this build writes is in a fixture, so that no later build can forget it.
TEST(Formats, EveryKeyOfTodayIsInTheNewestFixture) {
  RunConfig config;
  config.method.use_mlaan = true;
  const fs::path newest = fixtures("config", config_format_version).back();
  ConfigText text = ConfigText::from_text(read_file(newest), newest.string());
  for (const EffectiveField& field : list_fields(config))
    EXPECT_NE(text.origin(field.key), "default") << field.key << ": add it to " << newest;
}

}  // namespace
}  // namespace lamina
