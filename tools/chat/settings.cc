#include "tools/chat/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "quern/text.h"
#include "tools/cli/request_options.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

using Effect = RequestOption::Effect;

/// A value that is sampled with ends greedy decoding, as one of the command line does.
void allow_sampling(const RequestOption& option, SamplingParams& sampling) {
  if (option.effect == Effect::none || option.effect == Effect::greedy) return;
  sampling.greedy = false;
  if (sampling.temperature == 0.0F) sampling.temperature.reset();
}

}  // namespace

void set_setting(Request& request, std::string_view name, const std::string& value) {
  std::string wanted(name);
  std::ranges::replace(wanted, '-', '_');
  const auto options = request_options();
  const auto option = std::ranges::find(options, wanted, &RequestOption::name);
  if (option == options.end()) {
    usage_error("/set: expected one of {}, got {}", setting_names(), quoted_name(name));
  }
  if (value == "default") return option->reset(request);
  Request changed = request;
  allow_sampling(*option, changed.sampling);
  option->assign(changed, "/set " + wanted, value);
  request = std::move(changed);
}

std::string settings_text(const Request& resolved) {
  std::string text;
  for (const RequestOption& option : request_options()) {
    text += fmt::format("{:<21} {}\n", option.name, option.show(resolved));
  }
  return text;
}

std::string setting_names() {
  std::vector<std::string_view> names;
  for (const RequestOption& option : request_options()) names.push_back(option.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace quern::tools
