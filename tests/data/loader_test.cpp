#include "lamina/data/loader.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "data/data_files.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kNumTrain = 25;
constexpr std::int64_t kNumTest = 10;
constexpr std::int64_t kBatch = 4;
constexpr ImageShape kLoadedShape{3, 8, 8};

std::shared_ptr<const Dataset> varied_images(std::int64_t size, std::uint32_t salt) {
  Bytes labels(static_cast<std::size_t>(size));
  std::iota(labels.begin(), labels.end(), std::uint8_t{0});  // a label of its own tells every image
  return std::make_shared<MemoryDataset>(
      kLoadedShape, size, varied_bytes(static_cast<std::size_t>(size * kLoadedShape.num_values()), salt),
      labels);
}

DataSource small_source() {
  return {"small",
          varied_images(kNumTrain, 0),
          varied_images(kNumTest, 1),
          {Recipe::Pad::reflect, 2, true, {0.4, 0.5, 0.6}, {0.2, 0.3, 0.4}}};
}

/// All batches of one part in one epoch, from `first` on.
std::vector<BatchRequest> epoch(std::int64_t epoch, bool training = true, std::int64_t batch = kBatch,
                                std::int64_t first = 0) {
  std::vector<BatchRequest> requests;
  const std::int64_t size = training ? kNumTrain : kNumTest;
  for (; first < size; first += batch)
    requests.push_back({training, epoch, first, std::min(batch, size - first)});
  return requests;
}

std::function<std::optional<BatchRequest>()> one_by_one(std::vector<BatchRequest> requests) {
  return [requests = std::move(requests), i = std::size_t{0}]() mutable -> std::optional<BatchRequest> {
    if (i == requests.size()) return std::nullopt;
    return requests[i++];
  };
}

std::vector<BatchRequest> joined(std::vector<BatchRequest> a, const std::vector<BatchRequest>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Batch> load(const std::vector<BatchRequest>& requests, const LoaderOptions& options = {}) {
  Loader loader(small_source(), options, one_by_one(requests));
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader.take()) batches.push_back(*batch);
  return batches;
}

/// All images and labels of the batches, one after the other.
Batch concatenated(const std::vector<Batch>& batches) {
  std::vector<at::Tensor> x, y;
  for (const Batch& batch : batches) {
    x.push_back(batch.x_BCHW);
    y.push_back(batch.y_B);
  }
  return {at::cat(x), at::cat(y)};
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_TRUE(at::equal(a.x_BCHW, b.x_BCHW));
  EXPECT_TRUE(at::equal(a.y_B, b.y_B));
}

/// Images of a data set without augmentation, by ATen.
at::Tensor plain_images(const Dataset& dataset, const Recipe& recipe,
                        const std::vector<std::int64_t>& indices) {
  std::vector<at::Tensor> images;
  Bytes image(static_cast<std::size_t>(dataset.shape().num_values()));
  for (const std::int64_t index : indices) {
    dataset.read(index, image);
    images.push_back(at::tensor(at::ArrayRef<std::uint8_t>(image), at::kDouble).view({3, 8, 8}));
  }
  const at::Tensor mean = at::tensor(recipe.mean, at::kDouble).view({3, 1, 1});
  const at::Tensor std = at::tensor(recipe.std, at::kDouble).view({3, 1, 1});
  return (at::stack(images) / 255 - mean) / std;
}

void expect_near(const at::Tensor& found, const at::Tensor& expected) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT((found.to(at::kDouble) - expected).abs().max().item<double>(), 1e-6);
}

TEST(Loader, EvaluationBatchesAreTheTestImagesInOrderUnaugmented) {
  const Batch all = concatenated(load(epoch(3, false)));
  const DataSource source = small_source();
  std::vector<std::int64_t> indices(kNumTest);
  std::iota(indices.begin(), indices.end(), 0);
  expect_near(all.x_BCHW, plain_images(*source.test, source.recipe, indices));
  EXPECT_TRUE(at::equal(all.y_B, at::arange(kNumTest)));
}

TEST(Loader, WithoutAugmentationTrainingBatchesAreThePlainImagesInTheEpochsOrder) {
  const Batch all = concatenated(load(epoch(3), {.seed = 7, .augment = false}));
  const DataSource source = small_source();
  const std::vector<std::int64_t> order = epoch_order(7, 3, kNumTrain);
  expect_near(all.x_BCHW, plain_images(*source.train, source.recipe, order));
  EXPECT_TRUE(at::equal(all.y_B, at::tensor(order)));
}

TEST(Loader, AugmentationChangesImagesButNotTheirOrder) {
  const Batch plain = concatenated(load(epoch(3), {.augment = false}));
  const Batch augmented = concatenated(load(epoch(3)));
  EXPECT_TRUE(at::equal(plain.y_B, augmented.y_B));
  // One place of 25, unflipped, leaves an image as it is.
  const at::Tensor changed = (plain.x_BCHW != augmented.x_BCHW).flatten(1).any(1);
  EXPECT_GT(changed.sum().item<std::int64_t>(), kNumTrain / 2);
}

TEST(Loader, TheLastBatchOfAnEpochIsShort) {
  const std::vector<Batch> batches = load(epoch(0));
  ASSERT_EQ(batches.size(), 7U);
  EXPECT_EQ(batches.back().x_BCHW.sizes(), (at::IntArrayRef{1, 3, 8, 8}));
  EXPECT_EQ(batches.back().y_B.sizes(), (at::IntArrayRef{1}));
}

TEST(Loader, BatchesAreTheSameWhateverTheThreadsAndTheRoomAhead) {
  const std::vector<BatchRequest> requests = joined(joined(epoch(0), epoch(0, false)), epoch(1));
  const std::vector<Batch> expected = load(requests, {.threads = 1, .ahead = 1});
  ASSERT_EQ(expected.size(), requests.size());
  for (const int threads : {1, 2, 5}) {
    for (const int ahead : {1, 3, 100}) {
      const std::vector<Batch> batches = load(requests, {.threads = threads, .ahead = ahead});
      ASSERT_EQ(batches.size(), requests.size());
      for (std::size_t i = 0; i < batches.size(); ++i) expect_equal(batches[i], expected[i]);
    }
  }
}

TEST(Loader, StartingInTheMiddleContinuesAsIfItHadStartedBefore) {
  const std::vector<BatchRequest> requests = joined(epoch(0), epoch(1));
  const std::vector<Batch> expected = load(requests);
  for (const std::size_t start : {5U, 9U}) {  // in the first epoch and in the second
    const std::vector<Batch> resumed = load({requests.begin() + start, requests.end()});
    ASSERT_EQ(resumed.size(), expected.size() - start);
    for (std::size_t i = 0; i < resumed.size(); ++i) expect_equal(resumed[i], expected[start + i]);
  }
}

TEST(Loader, AnImageDoesNotDependOnTheBatchItIsIn) {
  expect_equal(concatenated(load(epoch(2, true, 4))), concatenated(load(epoch(2, true, 9))));
}

TEST(Loader, TheOrderChangesWithEpochAndSeed) {
  const Batch first = concatenated(load(epoch(0)));
  EXPECT_FALSE(at::equal(first.y_B, concatenated(load(epoch(1))).y_B));
  EXPECT_FALSE(at::equal(first.y_B, concatenated(load(epoch(0), {.seed = 1})).y_B));
}

TEST(Loader, TheAugmentationChangesWithEpochSeedAndPosition) {
  // With one image at every position, only crops and flips can differ.
  const Bytes image = varied_bytes(static_cast<std::size_t>(kLoadedShape.num_values()));
  const auto images = [&](std::int64_t epoch, std::uint64_t seed, std::int64_t of = kNumTrain) {
    Bytes pixels;
    for (std::int64_t i = 0; i < of; ++i) pixels.insert(pixels.end(), image.begin(), image.end());
    DataSource source = small_source();
    source.train =
        std::make_shared<MemoryDataset>(kLoadedShape, 1, pixels, Bytes(static_cast<std::size_t>(of)));
    return Loader(source, {.seed = seed}, one_by_one({{true, epoch, 0, kNumTrain}})).take()->x_BCHW;
  };
  const at::Tensor first = images(0, 0);
  EXPECT_TRUE(at::equal(first, images(0, 0)));
  EXPECT_FALSE(at::equal(first, images(1, 0)));
  EXPECT_FALSE(at::equal(first, images(0, 1)));
  EXPECT_FALSE(at::equal(first, first.roll(1, 0)));
  EXPECT_TRUE(at::equal(first, images(0, 0, kNumTrain + 1)))
      << "another image at each position changes nothing";
}

TEST(Loader, TensorsHaveTheChosenFormatAndAlignment) {
  for (const at::MemoryFormat format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    for (const Batch& batch : load(epoch(0), {.format = format})) {
      EXPECT_EQ(batch.x_BCHW.scalar_type(), at::kFloat);
      EXPECT_EQ(batch.y_B.scalar_type(), at::kLong);
      EXPECT_TRUE(batch.x_BCHW.is_contiguous(format));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(batch.x_BCHW.data_ptr()) % 64, 0U);
    }
  }
  expect_equal(concatenated(load(epoch(0), {.format = at::MemoryFormat::Contiguous})),
               concatenated(load(epoch(0))));
}

TEST(Loader, KeepsTheImagesOfWhichItsInputIsTheNormalisedForm) {
  const DataSource source = small_source();
  const at::Tensor mean = at::tensor(source.recipe.mean, at::kDouble).view({3, 1, 1});
  const at::Tensor std = at::tensor(source.recipe.std, at::kDouble).view({3, 1, 1});
  for (const at::MemoryFormat format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    const std::vector<Batch> plain = load(epoch(0), {.format = format});
    const std::vector<Batch> kept = load(epoch(0), {.keep_image = true, .format = format});
    for (std::size_t i = 0; i < plain.size(); ++i) {
      expect_equal(kept[i], plain[i]);
      ASSERT_EQ(kept[i].image_BCHW.scalar_type(), at::kByte);
      EXPECT_TRUE(kept[i].image_BCHW.is_contiguous(format));
      expect_near(kept[i].x_BCHW, (kept[i].image_BCHW.to(at::kDouble) / 255 - mean) / std);
      EXPECT_FALSE(plain[i].image_BCHW.defined());
    }
  }
}

TEST(Loader, RunsAheadByWhatItMayAndNoFurther) {
  constexpr int kAhead = 3, kTakes = 200;
  std::atomic<int> takes_begun = 0, num_requests = 0, furthest = 0;
  Loader loader(small_source(), {.threads = 2, .ahead = kAhead}, [&]() -> std::optional<BatchRequest> {
    const int ahead = ++num_requests - takes_begun;
    if (ahead > furthest) furthest = ahead;
    return BatchRequest{true, 0, 0, 1};
  });
  while (num_requests < kAhead) std::this_thread::yield();  // it gets there without any take()
  for (int i = 0; i < kTakes; ++i) {
    ++takes_begun;
    ASSERT_TRUE(loader.take());
  }
  EXPECT_EQ(furthest, kAhead);
}

TEST(Loader, GivesNothingAfterTheLastRequestHoweverOftenAsked) {
  Loader loader(small_source(), {.threads = 3}, one_by_one({{true, 0, 0, 2}}));
  EXPECT_TRUE(loader.take());
  EXPECT_FALSE(loader.take());
  EXPECT_FALSE(loader.take());
}

/// Fails when one image is read.
class BrokenImage : public MemoryDataset {
 public:
  BrokenImage() : MemoryDataset(kLoadedShape, 1, Bytes(12 * kLoadedShape.num_values()), Bytes(12)) {}
  void read(std::int64_t index, std::span<std::uint8_t> chw) const override {
    if (index == 5) throw Error(ErrorKind::data, "image 5 is broken");
    MemoryDataset::read(index, chw);
  }
};

TEST(Loader, AnErrorIsThrownByTheTakeOfItsBatchAndNoOther) {
  for (const int threads : {1, 3}) {
    DataSource source = small_source();
    source.test = std::make_shared<BrokenImage>();
    Loader loader(source, {.threads = threads},
                  one_by_one({{false, 0, 0, 4}, {false, 0, 4, 4}, {false, 0, 8, 4}}));
    EXPECT_TRUE(loader.take());
    EXPECT_THAT(error_of(ErrorKind::data, [&] { loader.take(); }), HasSubstr("image 5 is broken"));
    EXPECT_TRUE(loader.take());
    EXPECT_FALSE(loader.take());
  }
}

TEST(Loader, AnErrorOfTheRequestsEndsThem) {
  Loader loader(small_source(), {.threads = 2}, [i = 0]() mutable -> std::optional<BatchRequest> {
    if (++i > 1) throw Error(ErrorKind::contract, "no plan");
    return BatchRequest{true, 0, 0, 1};
  });
  EXPECT_TRUE(loader.take());
  EXPECT_EQ(error_of(ErrorKind::contract, [&] { loader.take(); }), "no plan");
  EXPECT_FALSE(loader.take());
}

TEST(Loader, RejectsARequestBeyondTheImages) {
  const std::vector<BatchRequest> beyond{
      {true, 0, kNumTrain - 1, 2}, {false, 0, kNumTest, 1}, {true, 0, -1, 1}, {true, 0, 0, 0}};
  Loader loader(small_source(), {}, one_by_one(beyond));
  for (std::size_t i = 0; i < beyond.size(); ++i) {
    EXPECT_THAT(error_of(ErrorKind::contract, [&] { loader.take(); }),
                HasSubstr("expected images among the"));
  }
}

TEST(Loader, RejectsOptionsItCannotWorkWith) {
  for (const LoaderOptions& options : {LoaderOptions{.threads = 0}, LoaderOptions{.ahead = 0}}) {
    error_of(ErrorKind::contract, [&] { Loader(small_source(), options, one_by_one({})); });
  }
  DataSource source = small_source();
  source.recipe.mean.clear();
  error_of(ErrorKind::contract, [&] { Loader(source, {}, one_by_one({})); });
}

TEST(Loader, StopsWhenDestroyedBeforeItsBatchesAreTaken) {
  const auto endless = []() -> std::optional<BatchRequest> { return BatchRequest{true, 0, 0, kBatch}; };
  for (int i = 0; i < 20; ++i) {
    const Loader at_once(small_source(), {.threads = 3, .ahead = 2}, endless);
    Loader taken_from(small_source(), {.threads = 3, .ahead = 2}, endless);
    EXPECT_TRUE(taken_from.take());
  }
}

}  // namespace
}  // namespace lamina
