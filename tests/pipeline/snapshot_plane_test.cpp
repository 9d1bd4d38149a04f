#include "lamina/pipeline/snapshot_plane.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "comm/expect_error.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

using ::testing::ElementsAre;

// Two stages, of which the first shadows the second, and which nobody trains: version v of the owner's parts
// is v everywhere.
struct Pair {
  explicit Pair(const SnapshotPolicy& policy, std::unique_ptr<HostCopies> copies = make_host_copies(at::kCPU))
      : board(std::make_shared<SnapshotBoard>(policy.depth())),
        plane(
            policy, board, [this](const auto& snapshot) { delivered.push_back(snapshot); }, Seconds(0.01),
            /*publishes=*/true, std::move(copies)) {
    const std::vector<std::int64_t> ends{1};
    for (const StageSpec& spec :
         make_stage_specs(cut_into_stages(tests::small_mlaan_modules(), ends), 3, true))
      stages.emplace_back(spec, StageOptions{.window = 3}, Initializer(1));
  }

  Stage& reader() { return stages[0]; }
  Stage& owner() { return stages[1]; }
  const std::string& a_part() { return owner().spec().published.front(); }

  void become(std::int64_t version) {
    for (const std::string& part : owner().spec().published)
      for (const at::Tensor& tensor : owner().part_tensors(part))
        tensor.detach().fill_(static_cast<double>(version));
  }

  // The version that all shadows hold; -1 if they differ.
  std::int64_t shadowed() {
    std::set<std::int64_t> found;
    for (const auto& [part, tensors] : reader().shadows())
      for (const at::Tensor& tensor : tensors)
        for (const at::Tensor& end : {tensor.min(), tensor.max()}) found.insert(end.item<std::int64_t>());
    return found.size() == 1 ? *found.begin() : -1;
  }

  std::vector<std::int64_t> held(const std::string& part) const {
    std::vector<std::int64_t> versions;
    for (const auto& snapshot : board->held(part)) versions.push_back(snapshot->version);
    return versions;
  }

  std::shared_ptr<SnapshotBoard> board;
  std::vector<SnapshotPlane::SnapshotPtr> delivered;
  SnapshotPlane plane;
  std::vector<Stage> stages;
};

TEST(SnapshotPlane, UnderALagAStepHasExactlyItsVersion) {
  for (const std::int64_t lag : {0, 1, 3})
    for (const std::int64_t every : {1, 2, 3}) {
      const SnapshotPolicy policy{.lag = lag, .every = every};
      Pair pair(policy);
      pair.become(0);
      pair.plane.publish_first(pair.owner(), 0, {});
      pair.plane.await_first(pair.reader(), 0);
      for (std::int64_t step = 0; step < 12; ++step) {
        const StageReport report = pair.plane.refresh(pair.reader(), step);
        EXPECT_EQ(pair.shadowed(), policy.version_for(step)) << "lag " << lag << ", every " << every;
        EXPECT_EQ(report.age_steps, step - policy.version_for(step));
        pair.become(step + 1);
        pair.plane.publish(pair.owner(), step + 1);
      }
    }
}

TEST(SnapshotPlane, AReaderThatIsAheadByTheLagStillFindsItsVersion) {
  const SnapshotPolicy policy{.lag = 4, .every = 3};
  Pair pair(policy);
  pair.become(0);
  pair.plane.publish_first(pair.owner(), 0, {});
  for (std::int64_t step = 0; step < 20; ++step) {
    if (step >= 4) {  // the owner's step - 4 is behind it
      pair.become(step - 3);
      pair.plane.publish(pair.owner(), step - 3);
    }
    pair.plane.refresh(pair.reader(), step);
    EXPECT_EQ(pair.shadowed(), policy.version_for(step));
  }
}

TEST(SnapshotPlane, AVersionThatDoesNotComeIsATimeout) {
  Pair pair(SnapshotPolicy{});
  expect_error(ErrorKind::timeout, [&] { pair.plane.await_first(pair.reader(), 0); });
  pair.plane.publish_first(pair.owner(), 0, {});
  pair.plane.refresh(pair.reader(), 0);
  expect_error(ErrorKind::timeout, [&] { pair.plane.refresh(pair.reader(), 1); });
}

TEST(SnapshotPlane, TheNewestIsTakenWithoutWaitingHoweverOldItIs) {
  Pair pair({.newest_wins = true, .every = 2});
  pair.become(5);
  pair.plane.publish_first(pair.owner(), 5, {});  // whatever its number
  pair.plane.await_first(pair.reader(), 5);
  EXPECT_EQ(pair.plane.refresh(pair.reader(), 9).age_steps, 4);
  EXPECT_EQ(pair.shadowed(), 5);
  for (const std::int64_t version : {6, 7}) {
    pair.become(version);
    pair.plane.publish(pair.owner(), version);
  }
  EXPECT_EQ(pair.plane.refresh(pair.reader(), 9).age_steps, 3);
  EXPECT_EQ(pair.shadowed(), 6) << "7 is not published";
  EXPECT_TRUE(pair.plane.to_save(pair.owner(), 9).empty());
}

TEST(SnapshotPlane, WhatIsPublishedIsDeliveredOnce) {
  Pair pair({.lag = 1, .every = 2});
  pair.plane.publish_first(pair.owner(), 0, {});
  for (const std::int64_t version : {1, 2, 3, 4}) pair.plane.publish(pair.owner(), version);
  std::map<std::string, std::vector<std::int64_t>> versions;
  for (const auto& snapshot : pair.delivered) {
    versions[snapshot->part].push_back(snapshot->version);
    EXPECT_EQ(snapshot->part == pair.a_part() && snapshot->version == 4,
              snapshot == pair.board->latest(pair.a_part()));
  }
  ASSERT_EQ(versions.size(), pair.owner().spec().published.size());
  for (const auto& [part, found] : versions) EXPECT_THAT(found, ElementsAre(0, 2, 4));
}

TEST(SnapshotPlane, AStageThatNobodyShadowsPublishesNothing) {
  Pair pair(SnapshotPolicy{});
  pair.plane.publish_first(pair.reader(), 0, {});
  pair.plane.publish(pair.reader(), 1);
  EXPECT_TRUE(pair.delivered.empty());
}

std::vector<Snapshot> copies(const std::vector<SnapshotPlane::SnapshotPtr>& snapshots) {
  std::vector<Snapshot> all;
  for (const auto& snapshot : snapshots) all.push_back(*snapshot);
  return all;
}

TEST(SnapshotPlane, ARunThatGoesOnHasTheVersionsThatItWouldHaveHad) {
  for (const std::int64_t lag : {0, 1, 3})
    for (const std::int64_t every : {1, 2, 4})
      for (const std::int64_t stop : {1, 4, 7}) {
        const SnapshotPolicy policy{.lag = lag, .every = every};
        Pair before(policy);
        before.become(0);
        before.plane.publish_first(before.owner(), 0, {});
        for (std::int64_t version = 1; version <= stop; ++version) {
          before.become(version);
          before.plane.publish(before.owner(), version);
        }
        const auto saved = before.plane.to_save(before.owner(), stop);
        for (const auto& snapshot : saved) {
          EXPECT_GE(snapshot->version, policy.version_for(stop));
          EXPECT_LT(snapshot->version, stop) << "that is the state itself";
        }
        Pair after(policy);
        after.become(stop);
        after.plane.publish_first(after.owner(), stop, copies(saved));
        after.plane.await_first(after.reader(), stop);
        for (std::int64_t step = stop; step < stop + 6; ++step) {
          after.plane.refresh(after.reader(), step);
          EXPECT_EQ(after.shadowed(), policy.version_for(step))
              << "lag " << lag << ", every " << every << ", stopped at " << stop << ", step " << step;
          after.become(step + 1);
          after.plane.publish(after.owner(), step + 1);
        }
      }
}

// Copies that come to the host only when somebody waits for all of them.
class LateCopies final : public HostCopies {
 public:
  void download(const std::vector<at::Tensor>& tensors, Done done, std::vector<at::Tensor>) override {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
    late_.push_back([copies, done = std::move(done)] { done(copies); });
  }
  void upload(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) override {
    make_host_copies(at::kCPU)->upload(from, to);
  }
  void finish() override {
    for (const auto& copy : late_) copy();
    late_.clear();
  }

 private:
  std::vector<std::function<void()>> late_;
};

TEST(SnapshotPlane, AVersionThatIsStillOnItsWayFromTheDeviceIsOfTheMomentItWasPublished) {
  Pair pair({.lag = 2}, std::make_unique<LateCopies>());
  pair.become(0);
  pair.plane.publish_first(pair.owner(), 0, {});
  for (const std::int64_t version : {1, 2}) {
    pair.become(version);
    pair.plane.publish(pair.owner(), version);
  }
  pair.become(99);
  EXPECT_TRUE(pair.delivered.empty());
  EXPECT_TRUE(pair.held(pair.a_part()).empty());
  pair.plane.finish();
  EXPECT_EQ(pair.delivered.size(), 3 * pair.owner().spec().published.size());
  for (const std::string& part : pair.owner().spec().published)
    EXPECT_THAT(pair.held(part), ElementsAre(0, 1, 2));
  for (const std::int64_t step : {2, 3, 4}) {
    pair.plane.refresh(pair.reader(), step);
    EXPECT_EQ(pair.shadowed(), step - 2);
  }
}

TEST(SnapshotPlane, WhatIsSavedIncludesWhatIsStillOnItsWay) {
  Pair pair({.lag = 2}, std::make_unique<LateCopies>());
  pair.plane.publish_first(pair.owner(), 0, {});
  for (const std::int64_t version : {1, 2, 3}) pair.plane.publish(pair.owner(), version);
  std::vector<std::int64_t> versions;
  for (const auto& snapshot : pair.plane.to_save(pair.owner(), 3))
    if (snapshot->part == pair.a_part()) versions.push_back(snapshot->version);
  EXPECT_THAT(versions, ElementsAre(1, 2));
}

TEST(SnapshotPlane, TheStateItselfIsNotPublishedTwice) {
  Pair pair({.lag = 2});
  pair.become(3);
  std::vector<Snapshot> saved;
  for (const std::string& part : pair.owner().spec().published)
    for (const std::int64_t version : {2, 3}) saved.push_back(pair.owner().copy_part(part, version));
  pair.plane.publish_first(pair.owner(), 3, saved);
  EXPECT_THAT(pair.held(pair.a_part()), ElementsAre(2, 3));
}

TEST(SnapshotPlane, AStateBetweenTwoVersionsIsNotPublished) {
  Pair pair({.lag = 2, .every = 4});
  pair.plane.publish_first(pair.owner(), 5, {pair.owner().copy_part(pair.a_part(), 4)});
  EXPECT_THAT(pair.held(pair.a_part()), ElementsAre(4));
}

}  // namespace
}  // namespace lamina
