#include <filesystem>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "lamina/train/single_step.hpp"

namespace lamina {

void add_step_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    std::string weights;
    std::string batch;
    std::string result;
    bool in_double = false;
    std::int64_t steps = 1;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("step",
                                         "one training step from given weights on a given batch, at the rate "
                                         "train.lr, with every loss, gradient "
                                         "and new parameter written down");
  arguments->add_to(*command);
  command->add_option("--weights", arguments->weights,
                      "tensors to begin with, safetensors; the rest from model.init or the seed");
  command->add_option("--batch", arguments->batch, "x: float NCHW, augmented and normalised; y: int64")
      ->required();
  command->add_option("--out", arguments->result, "losses, gradients and new tensors, safetensors")
      ->required();
  command->add_flag("--double", arguments->in_double, "compute in double precision");
  command
      ->add_option("--steps", arguments->steps,
                   "steps on the same batch; losses and gradients are the last one's")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([arguments] {
    StepRequest request{.in_double = arguments->in_double, .steps = arguments->steps};
    if (!arguments->weights.empty())
      request.weights = std::make_shared<const GivenTensors>(read_safetensors(arguments->weights));
    const auto batch = read_safetensors(arguments->batch);
    for (const char* name : {"x", "y"})
      if (!batch.contains(name))
        throw Error(ErrorKind::data, arguments->batch + ": expected tensors x and y, found no " + name);
    request.x_BCHW = batch.at("x");
    request.y_B = batch.at("y");
    const TensorList out = single_step(arguments->plan(), request);
    std::filesystem::remove(arguments->result);
    write_safetensors(arguments->result, out);
  });
}

}  // namespace lamina
