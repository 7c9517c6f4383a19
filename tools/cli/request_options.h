#pragma once

#include <span>
#include <string>
#include <string_view>

#include "quern/request.h"

namespace quern::tools {

/// An option about sampling or ends, which the command line ("--top-k") and chats ("/set top_k")
/// have alike.
struct RequestOption {
  enum class Group { sampling, penalties, ends };
  enum class Effect {
    none,
    greedy,    ///< turns sampling off
    samples,   ///< turns sampling on
    filters,   ///< turns sampling on and leaves tokens out
    mirostat,  ///< does so in place of the filters
  };
  enum class Form { flag, value, values };

  std::string_view name;  ///< with underscores
  std::string_view short_name;
  std::string_view placeholder;  ///< what the value is called
  std::string_view description;  ///< "{}" stands for the default of the number of new tokens
  Group group;
  Effect effect;
  Form form;
  /// Takes a value, the next one where there are several; a flag takes "on" and "off". `place`
  /// names the option in errors. Errors: UsageError.
  void (*assign)(Request& request, const std::string& place, const std::string& value);
  /// Back to what the model or the library take.
  void (*reset)(Request& request);
  std::string (*show)(const Request& request);

  /// "-n,--max-new-tokens".
  std::string spelling() const;
};

/// All of them, in the order of the help.
std::span<const RequestOption> request_options();

/// A stop string as written: \n, \t and \\ are escapes. Errors: UsageError for another escape, for
/// text that is not UTF-8 and for an empty string.
std::string parse_stop(const std::string& option, std::string_view text);

/// "ID=VALUE". Errors: UsageError.
std::pair<std::int32_t, float> parse_logit_bias(const std::string& option, std::string_view text);

}  // namespace quern::tools
