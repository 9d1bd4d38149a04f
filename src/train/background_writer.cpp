#include "background_writer.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>

#include "checkpoint_format.hpp"
#include "lamina/core/clock.hpp"
#include "lamina/core/log.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

// Whose notes these are. The text is CheckpointWriter's.
std::string note_of(const Packet& mark, const std::string& text) {
  return Json{{"step", mark.step}, {"stop", mark.kind == PacketKind::stop}, {"modules", text}}.dump();
}

// All tensors that training writes to, in one order.
std::vector<at::Tensor*> changing_tensors(std::vector<ModuleState>& state) {
  std::vector<at::Tensor*> tensors;
  for (ModuleState& module : state)
    for (TensorList* list : {&module.network, &module.beside})
      for (auto& [name, tensor] : *list) tensors.push_back(&tensor);
  return tensors;
}

}  // namespace

BackgroundWriter::BackgroundWriter(CheckpointWriter writer, std::size_t num_modules,
                                   std::unique_ptr<HostCopies> copies,
                                   std::shared_ptr<CheckpointMirror> mirror)
    : writer_(std::move(writer)),
      num_modules_(num_modules),
      mirror_(std::move(mirror)),
      copies_(std::move(copies)) {
  thread_ = std::thread([this, label = log_label()] {
    set_log_label(label);
    at::set_num_threads(1);  // the cores are the workers'
    serve();
  });
}

BackgroundWriter::~BackgroundWriter() {
  try {
    copies_->finish();
  } catch (...) {  // what is thrown here has been thrown before, or is of no use any more
  }
  copies_.reset();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

double BackgroundWriter::save(const Stage& stage, const Packet& mark, const Versions& versions) {
  const std::pair id(mark.step, mark.kind);
  double waited_s = 0;
  {
    std::unique_lock lock(mutex_);
    if (mark_ != id && num_open_ > 0) {
      const Stopwatch watch;
      ++cost_.waits;
      changed_.wait(lock, [this] { return num_open_ == 0 || error_; });
      waited_s = watch.elapsed_s();
      cost_.wait_s += waited_s;
    }
    check();
    mark_ = id;
    ++num_open_;
  }
  std::vector<ModuleState> state = state_of(stage, versions);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor* tensor : changing_tensors(state)) tensors.push_back(tensor->detach());
  auto put_write = [this, state = std::move(state), mark,
                    index = stage.index()](std::vector<at::Tensor> copies) mutable {
    const std::vector<at::Tensor*> places = changing_tensors(state);
    for (std::size_t i = 0; i < places.size(); ++i) *places[i] = copies[i];
    put([this, state = std::move(state), mark, index, copies = std::move(copies)] {
      write(state, mark);
      end_of(index, copies);
    });
  };
  const bool changes = mark.kind != PacketKind::stop || !tensors.front().is_cpu();
  if (changes)
    copies_->download(tensors, std::move(put_write), take_written(stage.index()));
  else
    put_write(tensors);
  return waited_s;
}

// Taken anew for every checkpoint, copies would fragment the memory of the steps between.
std::vector<at::Tensor> BackgroundWriter::take_written(int stage) {
  const std::lock_guard lock(mutex_);
  return std::exchange(written_[stage], {});
}

void BackgroundWriter::write(const std::vector<ModuleState>& state, const Packet& mark) {
  const Stopwatch watch;
  std::string note = note_of(mark, writer_.save(state, mark));
  const std::lock_guard lock(mutex_);
  notes_.push_back(std::move(note));
  cost_.write_s += watch.elapsed_s();
}

void BackgroundWriter::end_of(int stage, const std::vector<at::Tensor>& copies) {
  const std::lock_guard lock(mutex_);
  written_[stage] = copies;
  // All stages of the mark so far; the next one of this worker may yet come.
  if (--num_open_ > 0 || counted_ == mark_) return;
  counted_ = mark_;
  ++cost_.written;
}

void BackgroundWriter::complete(const Packet& mark) {
  const Stopwatch watch;
  Manifest manifest = writer_.finish(mark);
  if (mirror_) mirror_->copy(complete_path(writer_.directory(), manifest.step));
  const std::lock_guard lock(mutex_);
  newest_ = std::move(manifest);
  cost_.write_s += watch.elapsed_s();
}

std::vector<std::string> BackgroundWriter::take_notes() {
  const std::lock_guard lock(mutex_);
  check();
  return std::exchange(notes_, {});
}

void BackgroundWriter::collect(const Packet& packet) {
  {
    const std::lock_guard lock(mutex_);
    check();
  }
  if (packet.is_mark() && !packet.abandoned) {
    pending_.push_back({.mark = packet});
    pending_.back().mark.notes.clear();
  }
  for (const std::string& text : packet.notes) {
    const Json note = Json::parse(text);
    const auto of = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
      return pending.mark.step == note.at("step").get<std::int64_t>() &&
             (pending.mark.kind == PacketKind::stop) == note.at("stop").get<bool>();
    });
    if (of == pending_.end()) continue;  // abandoned
    of->mark.notes.push_back(note.at("modules").get<std::string>());
    of->num_modules += Json::parse(of->mark.notes.back()).size();
  }
  for (; !pending_.empty() && pending_.front().num_modules == num_modules_; pending_.pop_front())
    put([this, mark = std::move(pending_.front().mark)] { complete(mark); });
}

void BackgroundWriter::finish() {
  copies_->finish();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty() && !is_busy_; });
  check();
}

void BackgroundWriter::finish_mirror() {
  if (mirror_) mirror_->finish();
}

CheckpointCost BackgroundWriter::cost() const {
  const std::lock_guard lock(mutex_);
  CheckpointCost cost = cost_;
  if (mirror_) cost.mirror_failures = mirror_->num_failures();
  return cost;
}

// With the lock held.
void BackgroundWriter::check() const {
  if (error_) std::rethrow_exception(error_);
}

void BackgroundWriter::put(Job job) {
  const std::lock_guard lock(mutex_);
  if (error_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

void BackgroundWriter::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    is_busy_ = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      job();
    } catch (...) {
      error = std::current_exception();
    }
    job = nullptr;  // its copies go before anybody hears that it is done
    lock.lock();
    is_busy_ = false;
    if (error) {
      error_ = error;
      jobs_.clear();
      num_open_ = 0;
    }
    changed_.notify_all();
  }
}

}  // namespace lamina
