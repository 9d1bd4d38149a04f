#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Some images of another data set, in the order of `indices`, without a copy.
class SubsetDataset : public Dataset {
 public:
  SubsetDataset(std::shared_ptr<const Dataset> whole, std::vector<std::int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  ImageShape shape() const override { return whole_->shape(); }
  std::int64_t num_classes() const override { return whole_->num_classes(); }
  std::int64_t label(std::int64_t index) const override { return whole_->label(at(index)); }
  void read(std::int64_t index, std::span<std::uint8_t> chw) const override { whole_->read(at(index), chw); }
  void read_random_part(std::int64_t index, at::Philox4_32& engine,
                        std::span<std::uint8_t> chw) const override {
    whole_->read_random_part(at(index), engine, chw);
  }

 private:
  std::int64_t at(std::int64_t index) const { return indices_[static_cast<std::size_t>(index)]; }

  std::shared_ptr<const Dataset> whole_;
  std::vector<std::int64_t> indices_;
};

}  // namespace lamina
