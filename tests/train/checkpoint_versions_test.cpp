#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/snapshot_plane.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/run_config.hpp"
#include "pipeline/small_network.hpp"
#include "temporary_directory.hpp"

// Checkpoints of stages that shadow one another: the versions that a resumed run's readers need are in them.
namespace lamina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const SnapshotPolicy policy{.lag = 2};

// Two stages in one thread.
struct Pair {
  explicit Pair(std::uint64_t seed)
      : plane(policy, std::make_shared<SnapshotBoard>(policy.depth()), nullptr, Seconds(1)) {
    const std::vector<std::int64_t> ends{1};
    for (const StageSpec& spec :
         make_stage_specs(cut_into_stages(tests::small_mlaan_modules(), ends), 3, true))
      stages.emplace_back(spec, StageOptions{.window = 3}, Initializer(seed));
  }

  void begin(std::int64_t step, const std::vector<std::vector<Snapshot>>& saved) {
    for (std::size_t i = 0; i < stages.size(); ++i) plane.publish_first(stages[i], step, saved[i]);
  }

  void train(std::int64_t first, std::int64_t end) {
    for (std::int64_t step = first; step < end; ++step) {
      Packet packet = tests::train_packet(step, 6);
      for (Stage& stage : stages) {
        plane.refresh(stage, step);
        packet = stage.process(std::move(packet));
        plane.publish(stage, step + 1);
      }
    }
  }

  SnapshotPlane plane;
  std::vector<Stage> stages;
};

// A digest of all tensors.
std::string bits(const Pair& pair) {
  Sha256 sha;
  for (const Stage& stage : pair.stages)
    for (const Stage::Part& part : stage.parts())
      for (const NamedTensor& entry : part.module.tensors()) {
        const at::Tensor dense = entry.tensor.detach().contiguous();
        sha.update(dense.data_ptr(), dense.nbytes());
      }
  return sha.hex();
}

using Versions = std::vector<std::shared_ptr<const Snapshot>>;

class CheckpointVersions : public ::testing::Test {
 protected:
  static constexpr std::int64_t step = 5;

  void SetUp() override {
    pair_.begin(0, {{}, {}});
    pair_.train(0, step);
  }

  // Saves with the versions that the plane names, or fewer.
  Manifest save(const std::function<void(Versions&)>& change = {}) {
    const CheckpointWriter writer(directory_.path(), to_yaml(list_fields(RunConfig{})), 2);
    Packet mark{.kind = PacketKind::checkpoint, .step = step};
    for (const Stage& stage : pair_.stages) {
      Versions versions = pair_.plane.to_save(stage, step);
      if (change) change(versions);
      mark.notes.push_back(writer.save(state_of(stage, versions), mark));
    }
    return writer.finish(mark);
  }

  std::filesystem::path path() const { return find_checkpoints(directory_.path()).back(); }

  void expect_refused(const Manifest& manifest, const std::string& why) {
    Pair other(2);
    Stage& owner = other.stages[1];
    const at::Tensor before = owner.parts()[0].module.block_parameters()[0].detach().clone();
    try {
      load_stage(path(), manifest, owner);
      FAIL() << "it was loaded";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
      EXPECT_THAT(e.what(), HasSubstr(why));
      EXPECT_THAT(e.what(), HasSubstr(path().string()));
    }
    EXPECT_TRUE(at::equal(before, owner.parts()[0].module.block_parameters()[0])) << "a part was loaded";
  }

  TemporaryDirectory directory_;
  Pair pair_{1};
};

TEST_F(CheckpointVersions, ComeBackAsTheyWereTheOldestOfEachPartFirst) {
  save();
  Pair other(2);
  const std::vector<Snapshot> found = load_stage(path(), read_manifest(path()), other.stages[1]);
  const Versions saved = pair_.plane.to_save(pair_.stages[1], step);
  ASSERT_EQ(found.size(), saved.size());
  std::map<std::string, std::vector<std::int64_t>> versions;
  for (const Snapshot& snapshot : found) {
    versions[snapshot.part].push_back(snapshot.version);
    const auto same = std::find_if(saved.begin(), saved.end(), [&](const auto& candidate) {
      return candidate->part == snapshot.part && candidate->version == snapshot.version;
    });
    ASSERT_NE(same, saved.end()) << snapshot.part << " " << snapshot.version;
    EXPECT_EQ(snapshot_shape(snapshot.part, snapshot.tensors),
              snapshot_shape(snapshot.part, (*same)->tensors));
    for (std::size_t i = 0; i < snapshot.tensors.size(); ++i)
      EXPECT_TRUE(at::equal(snapshot.tensors[i], (*same)->tensors[i])) << snapshot.part << " " << i;
  }
  ASSERT_EQ(versions.size(), pair_.stages[1].spec().published.size());
  for (const auto& [part, numbers] : versions) EXPECT_THAT(numbers, ElementsAre(3, 4)) << part;
}

TEST_F(CheckpointVersions, AreThoseOfPublishedPartsAlone) {
  const Manifest manifest = save();
  Pair other(2);
  EXPECT_TRUE(load_stage(path(), manifest, other.stages[0]).empty()) << "nobody shadows the first stage";
  EXPECT_TRUE(manifest.modules.at(0).versions.empty());
  EXPECT_THAT(manifest.modules.at(2).versions, ElementsAre(3, 4));
}

TEST_F(CheckpointVersions, ARunThatGoesOnWithThemTrainsTheSameBits) {
  save();
  const auto bits_after = [&](bool with_versions) {
    Pair other(2);
    std::vector<std::vector<Snapshot>> saved;
    for (Stage& stage : other.stages) saved.push_back(load_stage(path(), read_manifest(path()), stage));
    if (!with_versions)  // as if the state itself had been there all the time
      for (Snapshot& snapshot : saved[1])
        snapshot = other.stages[1].copy_part(snapshot.part, snapshot.version);
    other.begin(step, saved);
    other.train(step, step + 3);
    return bits(other);
  };
  const std::string resumed = bits_after(true), without = bits_after(false);
  pair_.train(step, step + 3);
  EXPECT_EQ(resumed, bits(pair_));
  EXPECT_NE(without, bits(pair_)) << "the versions play no part in this test";
}

TEST_F(CheckpointVersions, OneThatIsMissingInTheFileIsNamed) {
  const std::string part = pair_.stages[1].spec().published.back();
  save([&](Versions& versions) {
    std::erase_if(versions, [&](const auto& s) { return s->part == part && s->version == 3; });
  });
  expect_refused(read_manifest(path()), "expected a tensor version.3." + part + ".0, found none");
}

TEST_F(CheckpointVersions, OneThatTheManifestDoesNotKnowIsNoticed) {
  Manifest manifest = save();
  for (ModuleFile& file : manifest.modules) std::erase(file.versions, 4);
  expect_refused(manifest, "tensors, found");
}

}  // namespace
}  // namespace lamina
