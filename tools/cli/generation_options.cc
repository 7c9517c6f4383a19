#include "tools/cli/generation_options.h"

#include <CLI/CLI.hpp>

#include "tools/cli/option_group.h"
#include "tools/cli/request_options.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

using Group = RequestOption::Group;
using Effect = RequestOption::Effect;
using Form = RequestOption::Form;

/// Those that may contradict each other.
struct SamplingSwitches {
  const CLI::Option* greedy = nullptr;
  const CLI::Option* temperature = nullptr;
  const CLI::Option* mirostat = nullptr;
  std::vector<const CLI::Option*> filters;

  void add(Effect effect, const CLI::Option* option) {
    if (effect == Effect::greedy) greedy = option;
    if (effect == Effect::samples) temperature = option;
    if (effect == Effect::mirostat) mirostat = option;
    if (effect == Effect::filters) filters.push_back(option);
  }
};

CLI::Option* add_option(OptionGroup& group, const RequestOption& option, Request& request,
                        const GenerationDefaults& defaults) {
  const OptionGroup::Text text{
      option.spelling(), std::string(option.placeholder),
      fmt::format(fmt::runtime(option.description), defaults.max_new_tokens)};
  if (option.form == Form::flag) {
    return group.flag_callback(
        text, [&option, &request](const std::string& name) { option.assign(request, name, "on"); });
  }
  const auto assign = [&option, &request](const std::string& name, const std::string& value) {
    option.assign(request, name, value);
  };
  return option.form == Form::values ? group.values(text, assign) : group.value(text, assign);
}

void reject_contradictions(const SamplingSwitches& switches, const SamplingParams& sampling) {
  reject_with(switches.greedy, {switches.temperature, switches.mirostat});
  reject_with(switches.greedy, switches.filters);
  if (sampling.mirostat_tau.value_or(0) > 0) reject_with(switches.mirostat, switches.filters);
  if (sampling.temperature != 0.0F) return;
  std::vector<const CLI::Option*> all = switches.filters;
  all.push_back(switches.mirostat);
  for (const CLI::Option* option : all) {
    if (option->count() != 0) {
      usage_error("--temperature 0, which is --greedy, and {} contradict each other",
                  option->get_name());
    }
  }
}

}  // namespace

std::function<void()> add_generation_options(CLI::App& app, Request& request,
                                             const GenerationDefaults& defaults) {
  SamplingSwitches switches;
  OptionGroup sampling(app, fmt::format("Sampling (default: {})", defaults.sampling));
  OptionGroup penalties(app, "Penalties");
  OptionGroup ends(app, "Ends");
  for (const RequestOption& option : request_options()) {
    OptionGroup& group = option.group == Group::sampling    ? sampling
                         : option.group == Group::penalties ? penalties
                                                            : ends;
    switches.add(option.effect, add_option(group, option, request, defaults));
  }
  return [switches, &request] { reject_contradictions(switches, request.sampling); };
}

}  // namespace quern::tools
