#include "tools/cli/option_group.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

const std::string& checked_text(const std::string& option, const std::string& value) {
  if (value.empty()) usage_error("{}: expected some text, got ''", option);
  return value;
}

}  // namespace

CLI::Option* OptionGroup::flag(const std::string& names, bool& target,
                               const std::string& description) {
  return app_->add_flag(names, target, description)->group(title_);
}

CLI::Option* OptionGroup::flag_callback(
    const Text& text, const std::function<void(const std::string& option)>& assign) {
  auto name = std::make_shared<std::string>();
  CLI::Option* option = app_->add_flag_callback(
      text.names, [name, assign] { assign(*name); }, text.description);
  *name = option->get_name();
  return option->group(title_);
}

CLI::Option* OptionGroup::off_flag(const std::string& names, bool& target,
                                   const std::string& description) {
  return app_
      ->add_flag_callback(
          names, [&target] { target = false; }, description)
      ->group(title_);
}

CLI::Option* OptionGroup::values(const Text& text, Assign assign) {
  // The callback has to name its option, which is not there before it.
  auto name = std::make_shared<std::string>();
  CLI::Option* option = app_->add_option(
      text.names,
      [name, assign = std::move(assign)](const CLI::results_t& results) {
        for (const std::string& result : results) assign(*name, result);
        return true;
      },
      text.description);
  *name = option->get_name();
  return option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name(text.placeholder)
      ->group(title_);
}

CLI::Option* OptionGroup::value(const Text& text, Assign assign) {
  auto given = std::make_shared<bool>(false);
  return values(text, [given, assign = std::move(assign)](const std::string& option,
                                                          const std::string& value) {
    if (std::exchange(*given, true)) usage_error("{} is given twice", option);
    assign(option, value);
  });
}

CLI::Option* OptionGroup::text(const Text& text, std::string& target) {
  return value(text, [&target](const std::string& option, const std::string& value) {
    target = checked_text(option, value);
  });
}

CLI::Option* OptionGroup::text(const Text& text, std::optional<std::string>& target) {
  return value(text, [&target](const std::string& option, const std::string& value) {
    target = checked_text(option, value);
  });
}

CLI::Option* OptionGroup::integer(const Text& text, int& target, int low, int high) {
  return value(text, [&target, low, high](const std::string& option, const std::string& value) {
    target = parse_integer(option, value, low, high);
  });
}

CLI::Option* OptionGroup::integer(const Text& text, std::optional<int>& target, int low, int high) {
  return value(text, [&target, low, high](const std::string& option, const std::string& value) {
    target = parse_integer(option, value, low, high);
  });
}

CLI::Option* OptionGroup::number(const Text& text, std::optional<float>& target,
                                 const NumberRange& range) {
  return value(text, [&target, range](const std::string& option, const std::string& value) {
    target = parse_float(option, value, range);
  });
}

void reject_with(const CLI::Option* option, const std::vector<const CLI::Option*>& others) {
  if (option->count() == 0) return;
  for (const CLI::Option* other : others) {
    if (other->count() != 0) {
      usage_error("{} and {} contradict each other", option->get_name(), other->get_name());
    }
  }
}

void reject_together(const std::vector<const CLI::Option*>& options) {
  for (std::size_t i = 0; i < options.size(); ++i) {
    reject_with(options[i], {options.begin() + static_cast<std::ptrdiff_t>(i) + 1, options.end()});
  }
}

}  // namespace quern::tools
