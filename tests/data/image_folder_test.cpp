#include "data/image_folder.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/image_files.hpp"
#include "data/random.hpp"
#include "lamina/data/loader.hpp"
#include "lamina/data/open.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

constexpr std::int64_t kSide = 32;
constexpr std::size_t kPlane = kSide * kSide;

/// A picture of one colour, as each format holds it.
Bytes plain(const ImageSize& size, std::uint8_t value) {
  return Bytes(static_cast<std::size_t>(size.height * size.width * 3), value);
}
Bytes plain_png(std::uint8_t value) {
  return png_file({40, 50}, plain({40, 50}, value));
}

struct ImageFolderTest : testing::Test {
  std::shared_ptr<const Dataset> open(const std::string& part = "train") {
    return open_image_folder(folder.path() / part, class_names(folder.path() / "train"), kSide);
  }
  std::string error_opening(const std::string& part = "train") {
    return error_of(ErrorKind::data, [&] { open(part); });
  }
  DataSource source(const DataConfig& config = {}) {
    DataConfig here = config;
    here.name = "imagefolder";
    here.folder = folder.path().string();
    here.image = kSide;
    return open_data(here);
  }
  /// A training part of `count` images a class, and a test part of one, whose values tell them apart.
  void write_two_classes(std::uint8_t count) {
    for (std::uint8_t i = 0; i < count; ++i) {
      folder.write("train/cat/" + std::to_string(i) + ".png", plain_png(static_cast<std::uint8_t>(10 * i)));
      folder.write("train/dog/" + std::to_string(i) + ".png",
                   plain_png(static_cast<std::uint8_t>(100 + 10 * i)));
    }
    folder.write("val/cat/a.png", plain_png(1));
    folder.write("val/dog/a.png", plain_png(101));
  }
  TemporaryFolder folder;
};

TEST_F(ImageFolderTest, SortsClassesAndImagesByNameAndTakesImagesOnly) {
  const Bytes values{20, 10, 40, 30};
  folder.write("train/zebra/b.JPEG", jpeg_file({40, 50}, plain({40, 50}, values[3])));
  folder.write("train/zebra/a.Jpg", jpeg_file({40, 50}, plain({40, 50}, values[2])));
  folder.write("train/ant/b.PNG", plain_png(values[1]));
  folder.write("train/ant/a.jpeg", plain_png(values[0]));  // what it is counts, not what it is called
  folder.write("train/ant/notes.txt", {1});
  folder.write("train/ant/.hidden.png", {1});
  folder.write("train/ant/deeper.png/c.png", plain_png(1));
  folder.write("train/.cache/c.png", plain_png(1));
  folder.write("train/list.txt", {1});
  const auto dataset = open();
  ASSERT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->shape(), (ImageShape{3, kSide, kSide}));
  EXPECT_EQ(dataset->num_classes(), 2);
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(dataset->label(i), i / 2);
    EXPECT_THAT(image_of(*dataset, i), Each(values[static_cast<std::size_t>(i)]));
  }
}

TEST_F(ImageFolderTest, LabelsTheTestPartAsTheTrainingPart) {
  write_two_classes(1);
  std::filesystem::remove_all(folder.path() / "val/cat");
  const auto test = open("val");
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(test->label(0), 1);
  EXPECT_EQ(test->num_classes(), 2);
}

TEST_F(ImageFolderTest, RejectsAFolderThatIsNotOne) {
  EXPECT_THAT(error_opening(),
              AllOf(HasSubstr("train: expected a folder of images"), HasSubstr("No such file")));
  folder.write("train/cat", {1});
  EXPECT_THAT(error_opening(), HasSubstr("expected a folder for each class, found none"));
}

TEST_F(ImageFolderTest, RejectsAClassWithoutImagesOrOneThatTrainingDoesNotKnow) {
  write_two_classes(1);
  folder.write("val/cow/a.png", plain_png(1));
  EXPECT_THAT(error_opening("val"), AllOf(HasSubstr("val/cow"), HasSubstr("one of the 2 classes")));
  folder.write("train/empty/notes.txt", {1});
  EXPECT_THAT(error_opening(), AllOf(HasSubstr("train/empty: expected images"), HasSubstr("found none")));
}

TEST_F(ImageFolderTest, ReadsTheMiddleOfTheResizedImage) {
  Bytes rgb;
  for (int i = 0; i < 74 * 148; ++i) rgb.insert(rgb.end(), 3, static_cast<std::uint8_t>(i % 148));
  folder.write("train/cat/a.png", png_file({74, 148}, rgb));
  const Bytes chw = image_of(*open(), 0);
  // The shorter side of 74 becomes 37, of which 32 stay: 64 columns from (148 - 64) / 2 on.
  for (std::size_t k = 0; k < chw.size(); ++k) {
    EXPECT_NEAR(chw[k], 42 + 2 * static_cast<double>(k % kSide) + 0.5, 0.51);
  }
}

TEST_F(ImageFolderTest, RandomPartsAreTheEnginesAlone) {
  folder.write("train/cat/a.png", png_file({200, 300}, smooth_rgb({200, 300})));
  const auto dataset = open();
  const auto part = [&](std::int64_t item) {
    Bytes chw(3 * kPlane);
    at::Philox4_32 engine = random_stream(0, RandomUse::augmentation, 0, item);
    dataset->read_random_part(0, engine, chw);
    return chw;
  };
  EXPECT_EQ(part(0), part(0));
  EXPECT_NE(part(0), part(1));
  EXPECT_NE(part(0), image_of(*dataset, 0));
}

std::vector<Batch> load(const DataSource& source, const LoaderOptions& options,
                        std::int64_t* num_broken = nullptr) {
  std::vector<BatchRequest> requests;
  for (const bool training : {true, false}) {
    const std::int64_t size = training ? source.train->size() : source.test->size();
    for (std::int64_t i = 0; i < size; i += 3)
      requests.push_back({training, 4, i, std::min<std::int64_t>(3, size - i)});
  }
  Loader loader(source, options, [&, next = std::size_t{0}]() mutable -> std::optional<BatchRequest> {
    if (next == requests.size()) return std::nullopt;
    return requests[next++];
  });
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader.take()) batches.push_back(*batch);
  if (num_broken) *num_broken = loader.num_broken();
  return batches;
}

void expect_equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(at::equal(a[i].x_BCHW, b[i].x_BCHW));
    EXPECT_TRUE(at::equal(a[i].y_B, b[i].y_B));
  }
}

TEST_F(ImageFolderTest, BatchesAreTheSameWhateverTheThreads) {
  for (int i = 0; i < 7; ++i) {
    const ImageSize size{60 + 10 * i, 130 - 7 * i};
    folder.write("train/cat/" + std::to_string(i) + ".jpg", jpeg_file(size, smooth_rgb(size)));
    folder.write("val/cat/" + std::to_string(i) + ".jpg", jpeg_file(size, smooth_rgb(size)));
  }
  folder.write("train/cat/4.jpg", {0xff, 0xd8, 0xff});
  const DataSource data = source({.broken = "skip"});
  const std::vector<Batch> expected = load(data, {.seed = 5, .threads = 1});
  for (const int threads : {2, 5}) expect_equal(load(data, {.seed = 5, .threads = threads}), expected);
  EXPECT_FALSE(at::equal(load(data, {.seed = 6})[0].x_BCHW, expected[0].x_BCHW));
}

TEST_F(ImageFolderTest, WithoutAugmentationTrainingImagesAreReadAsTestImages) {
  write_two_classes(1);
  for (const char* const part : {"train", "val"}) {
    const std::string path = std::string(part) + "/cat/" + (part[0] == 't' ? "0" : "a") + ".png";
    folder.write(path, png_file({50, 70}, smooth_rgb({50, 70})));
  }
  const std::vector<Batch> batches = load(source({.train_limit = 1, .test_limit = 1}), {.augment = false});
  EXPECT_TRUE(at::equal(batches[0].x_BCHW, batches[1].x_BCHW));
}

TEST_F(ImageFolderTest, ABrokenImageEndsTheRunWithItsName) {
  write_two_classes(2);
  Bytes cut = plain_png(1);
  cut.resize(cut.size() / 2);
  const auto path = folder.write("train/dog/0.png", cut);
  EXPECT_THAT(
      error_of(ErrorKind::data, [&] { load(source(), {}); }),
      AllOf(HasSubstr(path.string()), HasSubstr("expected a whole PNG"), HasSubstr("data.broken: skip")));
}

/// The grey of each image of the first batch, as it was before it was normalised.
std::vector<std::int64_t> greys(const Batch& batch) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < batch.image_BCHW.size(0); ++i) {
    values.push_back(batch.image_BCHW[i][0][0][0].item<std::int64_t>());
  }
  return values;
}

TEST_F(ImageFolderTest, ABrokenImageIsReplacedByTheNextWithItsLabelNamedOnceAndCounted) {
  write_two_classes(3);
  const auto first = folder.write("train/cat/2.png", {});
  const auto second = folder.write("train/dog/0.png", {1, 2, 3});
  const auto test = folder.write("val/dog/a.png", {1, 2, 3});  // the last: the first takes its place
  const DataSource data = source({.broken = "skip"});
  testing::internal::CaptureStderr();
  Loader loader(data, {.augment = false, .keep_image = true},
                [epoch = 0]() mutable -> std::optional<BatchRequest> {
                  if (epoch == 4) return std::nullopt;
                  return BatchRequest{epoch % 2 == 0, epoch++, 0, epoch % 2 == 0 ? 2 : 6};
                });
  const std::vector<std::int64_t> order = epoch_order(0, 0, 6);
  const std::optional<Batch> training = loader.take(), evaluation = loader.take();
  const std::vector<std::int64_t> by_index{0, 10, 110, 110, 110, 120}, labels{0, 0, 1, 1, 1, 1};
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(greys(*training)[i], by_index[static_cast<std::size_t>(order[i])]);
    EXPECT_EQ(training->y_B[static_cast<std::int64_t>(i)].item<std::int64_t>(),
              labels[static_cast<std::size_t>(order[i])]);
  }
  EXPECT_EQ(greys(*evaluation), (std::vector<std::int64_t>{1, 1}));
  EXPECT_TRUE(at::equal(evaluation->y_B, at::zeros({2}, at::kLong)));
  while (loader.take()) {
  }
  EXPECT_EQ(loader.num_broken(), 3);
  const std::string log = testing::internal::GetCapturedStderr();
  for (const auto& path : {first, second, test}) {
    const std::size_t place = log.find(path.string());
    ASSERT_NE(place, std::string::npos);
    EXPECT_EQ(log.find(path.string(), place + 1), std::string::npos);
  }
}

TEST_F(ImageFolderTest, APartWithoutAnImageThatCanBeReadIsAnError) {
  write_two_classes(1);
  for (const char* const name : {"train/cat/0.png", "train/dog/0.png"}) folder.write(name, {1});
  EXPECT_THAT(error_of(ErrorKind::data, [&] { load(source({.broken = "skip"}), {}); }),
              AllOf(HasSubstr("training part of imagefolder"), HasSubstr("found 2 broken ones")));
}

TEST_F(ImageFolderTest, AnImageThatVanishesWhileTrainingIsABrokenOne) {
  write_two_classes(2);
  const DataSource data = source({.broken = "skip"});
  std::filesystem::remove(folder.path() / "train/cat/1.png");
  std::int64_t num_broken = 0;
  load(data, {}, &num_broken);
  EXPECT_EQ(num_broken, 1);
}

TEST_F(ImageFolderTest, OpensByConfigurationWithValOrTestOrValidation) {
  write_two_classes(3);
  EXPECT_EQ(source().train->size(), 6);
  EXPECT_EQ(source().test->size(), 2);
  std::filesystem::rename(folder.path() / "val", folder.path() / "test");
  EXPECT_EQ(source().test->size(), 2);
  std::filesystem::remove_all(folder.path() / "test");
  EXPECT_THAT(error_of(ErrorKind::data, [&] { source(); }), HasSubstr("expected a folder val or test"));
  const DataSource held_out = source({.validation = 2});
  EXPECT_EQ(held_out.train->size(), 4);
  EXPECT_EQ(held_out.test->size(), 2);
}

TEST_F(ImageFolderTest, IsFoundBelowTheRoot) {
  folder.write("photos/mine/train/cat/a.png", plain_png(1));
  DataConfig config{
      .name = "imagefolder", .root = folder.path().string(), .folder = "photos/mine", .image = 8};
  EXPECT_EQ(data_traits(config).num_classes, 1);
  EXPECT_EQ(data_traits(config).shape, (ImageShape{3, 8, 8}));
  config.folder = "";
  EXPECT_THAT(error_of(ErrorKind::data, [&] { data_traits(config); }),
              AllOf(HasSubstr("imagenette/train"), HasSubstr("data.folder")));
}

TEST_F(ImageFolderTest, AGivenNumberOfClassesNeedsNoFolderUntilItIsOpened) {
  write_two_classes(1);
  DataConfig config{.name = "imagefolder", .folder = "/no/such/folder", .classes = 1000};
  EXPECT_EQ(data_traits(config).num_classes, 1000);
  EXPECT_THAT(error_of(ErrorKind::config, [&] { source({.classes = 3}); }),
              AllOf(HasSubstr("data.classes: expected the 2"), HasSubstr("found 3")));
  EXPECT_EQ(source({.classes = 2}).train->num_classes(), 2);
}

}  // namespace
}  // namespace lamina
