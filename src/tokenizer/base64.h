#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quern {

/// The bytes of padded base64, or nothing when it is not well-formed.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace quern
