#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern {

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// The text in a Unicode normal form. `text` must be well-formed UTF-8. Cost: O(n log n), whatever
/// the text. Source: Unicode Standard Annex #15.
std::string to_normal_form(std::string_view text, NormalForm form);

}  // namespace quern
