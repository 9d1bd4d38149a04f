#include "lamina/data/memory_dataset.hpp"

#include <gtest/gtest.h>

#include "data/data_files.hpp"
#include "data/subset_dataset.hpp"

namespace lamina {
namespace {

TEST(MemoryDataset, GivesBackItsImagesAndLabels) {
  const MemoryDataset dataset({1, 1, 2}, 3, {1, 2, 3, 4, 5, 6}, {2, 0, 1});
  EXPECT_EQ(dataset.size(), 3);
  EXPECT_EQ(image_of(dataset, 1), (Bytes{3, 4}));
  EXPECT_EQ(dataset.label(0), 2);
}

TEST(MemoryDataset, RejectsPixelsThatDoNotMakeOneImageALabel) {
  EXPECT_THAT(error_of(ErrorKind::contract, [] { MemoryDataset({1, 1, 2}, 3, {1, 2, 3}, {0, 1}); }),
              testing::HasSubstr("expected 4 pixels for 2 labels, found 3"));
}

TEST(MemoryDataset, RejectsALabelBeyondTheClasses) {
  EXPECT_THAT(error_of(ErrorKind::contract, [] { MemoryDataset({1, 1, 1}, 3, {1, 2}, {0, 3}); }),
              testing::HasSubstr("labels in 0..2, found 3 at 1"));
}

TEST(SubsetDataset, ShowsTheChosenImagesInTheirGivenOrder) {
  const auto whole =
      std::make_shared<MemoryDataset>(ImageShape{1, 1, 1}, 4, Bytes{10, 11, 12, 13}, Bytes{0, 1, 2, 3});
  const SubsetDataset subset(whole, {3, 1});
  EXPECT_EQ(subset.size(), 2);
  EXPECT_EQ(subset.num_classes(), 4);
  EXPECT_EQ(subset.shape(), whole->shape());
  EXPECT_EQ(subset.label(0), 3);
  EXPECT_EQ(image_of(subset, 1), Bytes{11});
}

}  // namespace
}  // namespace lamina
