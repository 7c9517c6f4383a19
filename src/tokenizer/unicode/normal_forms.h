#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern {

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// Whose characters a normal form knows: those of Unicode 9.0, as Hugging Face's tokenizers, or
/// those of the tables' current version, as Python. Others stay as they are.
enum class NormalFormVersion : std::uint8_t { unicode_9, current };

/// The text in a Unicode normal form. `text` must be well-formed UTF-8. Cost: O(n log n), whatever
/// the text. Source: Unicode Standard Annex #15.
std::string to_normal_form(std::string_view text, NormalForm form,
                           NormalFormVersion version = NormalFormVersion::unicode_9);

}  // namespace quern
