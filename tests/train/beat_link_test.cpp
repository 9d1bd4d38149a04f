#include "train/beat_link.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "comm/run_workers.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/core/process.hpp"
#include "train/last_words.hpp"
#include "train/plan_of.hpp"

// What processes tell each other of themselves, by threads that share nothing but the links.
namespace lamina {
namespace {

constexpr Seconds long_enough{60};
constexpr int num_workers = 3;

// What one worker's link has told it.
class Told {
 public:
  BeatEvents events() {
    return {.beat = [this](int worker, const WorkerBeat& told) { note([&] { beats[worker] = told; }); },
            .sentence = [this](const Sentence& sentence) { note([&] { sentences.push_back(sentence); }); },
            .gone = [this](int worker) { note([&] { gone.insert(worker); }); }};
  }

  template <class Condition>
  void wait_for(Condition is_so) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, long_enough, is_so));
  }

  std::map<int, WorkerBeat> beats;
  std::vector<Sentence> sentences;
  std::set<int> gone;

 private:
  template <class Note>
  void note(Note note) {
    const std::lock_guard lock(mutex_);
    note();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Links {
  Links() {
    const Transports transports = make_inprocess_transports(num_workers);
    run_workers(transports, [&](Transport& transport) {
      const auto at = static_cast<std::size_t>(transport.worker());
      links[at] = std::make_unique<BeatLink>(plan, transport, long_enough, nullptr, told[at].events());
    });
  }

  RunPlan plan = plan_of(
      "model: {backbone: resnet8}\npartition: {modules: 3}\nmethod: {framework: greedy}\n"
      "pipeline: {stages: 3, workers: 3, threads: 1}\ndata: {name: synthetic}\n");
  std::array<Told, num_workers> told;
  std::array<std::unique_ptr<BeatLink>, num_workers> links;
};

WorkerBeat beat_of(std::int64_t moves) {
  return {
      .beat = {.moves = moves, .doing = Doing::wait, .exit_code = 0},
      .where = {.step = 1234, .op = Op::receive, .activity = Activity::wait_input, .stage = 2, .other = 1}};
}

TEST(BeatLink, BeatsReachWorker0AndItsOwnReachAll) {
  Links run;
  for (const auto& link : run.links) {
    ASSERT_EQ(link->names().size(), 3u);
    EXPECT_EQ(link->names()[1].pid, process_id());
    EXPECT_EQ(link->names()[1].host, host_name());
  }
  for (int worker = 0; worker < num_workers; ++worker) {
    WorkerBeat told = beat_of(worker + 10);
    told.asks_to_stop = worker == 2;
    run.links[worker]->send(told);
  }
  run.told[0].wait_for([&] { return run.told[0].beats.size() == 2; });
  for (const int worker : {1, 2}) {
    EXPECT_EQ(run.told[0].beats[worker].beat.moves, worker + 10);
    EXPECT_EQ(run.told[0].beats[worker].beat.doing, Doing::wait);
    EXPECT_EQ(run.told[0].beats[worker].asks_to_stop, worker == 2);
    EXPECT_EQ(text(run.told[0].beats[worker].where), "at step 1234 in recv from stage 1");
    run.told[worker].wait_for([&] { return run.told[worker].beats.contains(0); });
    EXPECT_EQ(run.told[worker].beats[0].beat.moves, 10);
  }
}

TEST(BeatLink, ASentenceReachesTheOthersAndReadsTheSame) {
  Links run;
  const Sentence sentence{.cause = {.condition = Condition::lost, .worker = 2},
                          .standstill_s = 0,
                          .exit_code = 7,
                          .where = beat_of(0).where};
  run.links[0]->send(sentence);
  for (const int worker : {1, 2}) {
    run.told[worker].wait_for([&] { return !run.told[worker].sentences.empty(); });
    const Sentence& heard = run.told[worker].sentences.front();
    EXPECT_EQ(heard.exit_code, 7);
    EXPECT_EQ(text(heard, {{"a", 1}, {"b", 2}, {"c", 33}}),
              "worker 2 (pid 33 on c) lost at step 1234 in recv from stage 1: its connection is gone");
  }
}

TEST(BeatLink, WhoBreaksOffIsGoneAndWhoFinishesIsNot) {
  Links run;
  run.links[2].reset();
  run.told[0].wait_for([&] { return !run.told[0].gone.empty(); });
  run.links[1]->finish(long_enough);
  run.links[0]->finish(long_enough);
  run.links[1].reset();
  EXPECT_THAT(run.told[0].gone, testing::ElementsAre(2));
  EXPECT_THAT(run.told[1].gone, testing::IsEmpty());
}

}  // namespace
}  // namespace lamina
