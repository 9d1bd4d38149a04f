#include "lamina/data/open.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Sets an environment variable for as long as the object lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

/// Writes a Fashion-MNIST of `num_train` training images and 2 test images below the root.
void write_fashion_mnist(const TemporaryFolder& root, std::uint32_t num_train, const std::string& folder) {
  const auto write = [&](const std::string& prefix, std::uint32_t count) {
    root.write(folder + prefix + "-images-idx3-ubyte.gz",
               gzip(idx_file({count, 28, 28}, varied_bytes(count * 784))));
    root.write(folder + prefix + "-labels-idx1-ubyte.gz", gzip(idx_file({count}, Bytes(count, 1))));
  };
  write("train", num_train);
  write("t10k", 2);
}

std::set<Bytes> images_of(const Dataset& dataset) {
  std::set<Bytes> images;
  for (std::int64_t i = 0; i < dataset.size(); ++i) images.insert(image_of(dataset, i));
  return images;
}

TEST(DataTraits, AreKnownByName) {
  EXPECT_EQ(data_traits({.name = "cifar100"}).num_classes, 100);
  EXPECT_EQ(data_traits({.name = "fashion-mnist"}).shape, (ImageShape{3, 32, 32}));
}

TEST(DataTraits, AnUnknownNameIsAnsweredWithTheNearest) {
  EXPECT_THAT(
      error_of(ErrorKind::config, [] { data_traits({.name = "cifar01"}); }),
      AllOf(HasSubstr("'cifar01'"), HasSubstr("did you mean 'cifar10'?"), HasSubstr("fashion-mnist")));
  EXPECT_THAT(error_of(ErrorKind::config, [] { open_data({.name = "something else"}); }),
              Not(HasSubstr("did you mean")));
}

TEST(DataConfig, EveryFieldSurvivesItsYaml) {
  DataConfig config{"synthetic", "/data", "mine", 7, 96, 10, 20, 30, 4, false, "skip"};
  DataConfig copy;
  Problems problems;
  ConfigText::from_text(to_yaml(list_fields(config)), "text").fill(copy, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(to_yaml(list_fields(copy)), to_yaml(list_fields(config)));
}

TEST(DataConfig, RejectsAnUnknownNameAndNegativeCounts) {
  DataConfig config;
  Problems problems;
  ConfigText::from_text(
      "{name: mnist, validation: -1, train_limit: -1, test_limit: -1, loader_threads: 0, classes: -1, "
      "image: 0, broken: ignore}",
      "text")
      .fill(config, problems);
  EXPECT_EQ(problems.entries().size(), 8U);
}

TEST(OpenData, AnExplicitRootMustHoldTheFiles) {
  const TemporaryFolder root, other;
  write_fashion_mnist(other, 3, "fashion-mnist/");
  const ScopedVariable variable("LAMINA_DATA", other.path().string());
  EXPECT_THAT(
      error_of(ErrorKind::data, [&] { open_data({.name = "fashion-mnist", .root = root.path().string()}); }),
      AllOf(HasSubstr((root.path() / "fashion-mnist/train-images-idx3-ubyte.gz").string()),
            Not(HasSubstr(other.path().string())), HasSubstr("dataset-fashion-mnist")));
  EXPECT_EQ(open_data({.name = "fashion-mnist", .root = other.path().string()}).train->size(), 3);
}

TEST(OpenData, LooksUnderTheVariableFirstAndThenAtHome) {
  const TemporaryFolder data, home;
  const ScopedVariable data_variable("LAMINA_DATA", data.path().string());
  const ScopedVariable home_variable("HOME", home.path().string());
  write_fashion_mnist(home, 4, ".cache/lamina/data/fashion-mnist/");
  EXPECT_EQ(open_data({.name = "fashion-mnist"}).train->size(), 4);
  write_fashion_mnist(data, 3, "fashion-mnist/");
  EXPECT_EQ(open_data({.name = "fashion-mnist"}).train->size(), 3);
}

TEST(OpenData, NamesEveryPlaceWhereMissingFilesWereLookedFor) {
  const TemporaryFolder data, home;
  const ScopedVariable data_variable("LAMINA_DATA", data.path().string());
  const ScopedVariable home_variable("HOME", home.path().string());
  data.write("cifar-10-batches-bin/data_batch_1.bin", {});
  EXPECT_THAT(
      error_of(ErrorKind::data, [] { open_data({.name = "cifar10"}); }),
      AllOf(HasSubstr((data.path() / "cifar-10-batches-bin/data_batch_2.bin").string()),
            HasSubstr((home.path() / ".cache/lamina/data/cifar-10-batches-bin/data_batch_1.bin").string()),
            HasSubstr("run launch/fetch_data cifar10")));
}

TEST(OpenData, NamesATruncatedFile) {
  const TemporaryFolder root;
  root.write("cifar-100-binary/train.bin", Bytes(1000));
  root.write("cifar-100-binary/test.bin", Bytes(1000));
  EXPECT_THAT(
      error_of(ErrorKind::data, [&] { open_data({.name = "cifar100", .root = root.path().string()}); }),
      AllOf(HasSubstr("cifar-100-binary/train.bin"), HasSubstr("expected 153700000 bytes, found 1000")));
}

TEST(OpenData, ValidationTakesItsImagesOutOfTheTrainingPart) {
  const auto whole = images_of(*open_data({.name = "synthetic"}).train);
  const DataSource source = open_data({.name = "synthetic", .validation = 100});
  ASSERT_EQ(source.test->size(), 100);
  ASSERT_EQ(source.train->size(), 2048 - 100);
  std::set<Bytes> both = images_of(*source.train);
  both.merge(images_of(*source.test));
  EXPECT_EQ(both, whole);
}

TEST(OpenData, ASmallerValidationSetIsPartOfALargerOne) {
  const auto larger = images_of(*open_data({.name = "synthetic", .validation = 100}).test);
  for (const Bytes& image : images_of(*open_data({.name = "synthetic", .validation = 30}).test)) {
    EXPECT_TRUE(larger.contains(image));
  }
}

TEST(OpenData, ValidationIsNotTheFirstImagesAlone) {
  const DataSource whole = open_data({.name = "synthetic"});
  const DataSource source = open_data({.name = "synthetic", .validation = 100, .train_limit = 1});
  std::set<Bytes> first;
  for (std::int64_t i = 0; i < 100; ++i) first.insert(image_of(*whole.train, i));
  EXPECT_NE(images_of(*source.test), first);
}

TEST(OpenData, ValidationLeavesTheTestFilesUnread) {
  const TemporaryFolder root;
  write_fashion_mnist(root, 5, "fashion-mnist/");
  std::filesystem::remove(root.path() / "fashion-mnist/t10k-images-idx3-ubyte.gz");
  DataConfig config{.name = "fashion-mnist", .root = root.path().string(), .validation = 2};
  EXPECT_EQ(open_data(config).test->size(), 2);
  config.validation = 0;
  EXPECT_THAT(error_of(ErrorKind::data, [&] { open_data(config); }), HasSubstr("t10k-images-idx3-ubyte.gz"));
}

TEST(OpenData, LimitsKeepTheFirstImages) {
  const DataSource whole = open_data({.name = "synthetic"});
  const DataSource few = open_data({.name = "synthetic", .train_limit = 20, .test_limit = 7});
  ASSERT_EQ(few.train->size(), 20);
  ASSERT_EQ(few.test->size(), 7);
  EXPECT_EQ(image_of(*few.train, 19), image_of(*whole.train, 19));
  EXPECT_EQ(image_of(*few.test, 6), image_of(*whole.test, 6));
}

TEST(OpenData, RejectsCountsBeyondTheImages) {
  EXPECT_THAT(error_of(ErrorKind::config, [] { open_data({.name = "synthetic", .validation = 2048}); }),
              AllOf(HasSubstr("data.validation"), HasSubstr("fewer than the 2048"), HasSubstr("found 2048")));
  EXPECT_THAT(error_of(ErrorKind::config, [] { open_data({.name = "synthetic", .train_limit = 2049}); }),
              AllOf(HasSubstr("data.train_limit"), HasSubstr("2048"), HasSubstr("found 2049")));
  EXPECT_THAT(error_of(ErrorKind::config, [] { open_data({.name = "synthetic", .test_limit = 513}); }),
              AllOf(HasSubstr("data.test_limit"), HasSubstr("512"), HasSubstr("found 513")));
}

}  // namespace
}  // namespace lamina
