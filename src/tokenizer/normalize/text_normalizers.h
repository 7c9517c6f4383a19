#pragma once

#include <string>
#include <utility>

#include "tokenizer/normalize/normalizer.h"
#include "tokenizer/pretokenize/pattern.h"
#include "tokenizer/unicode/normal_forms.h"

namespace quern {

/// NFC, NFD, NFKC, NFKD.
class NormalFormNormalizer final : public Normalizer {
 public:
  explicit NormalFormNormalizer(NormalForm form,
                                NormalFormVersion version = NormalFormVersion::unicode_9)
      : form_(form), version_(version) {}
  void normalize(NormalizedText& text) const override;

 private:
  NormalForm form_;
  NormalFormVersion version_;
};

class LowercaseNormalizer final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// Removes white space at the ends.
class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  void normalize(NormalizedText& text) const override;

 private:
  bool left_;
  bool right_;
};

/// Removes marks.
class StripAccentsNormalizer final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// A string in front of every text that is not empty.
class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(NormalizedText& text) const override;

 private:
  std::string prefix_;
};

/// Every match of a pattern becomes `content`.
class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void normalize(NormalizedText& text) const override;

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

/// The rules of neural machine translation: control characters go, other white space and
/// zero-width characters become spaces. Source: Hugging Face tokenizers, normalizers/unicode.rs.
class NmtNormalizer final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// Source: Hugging Face tokenizers, normalizers/bert.rs.
class BertNormalizer final : public Normalizer {
 public:
  struct Options {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    bool strip_accents = false;
    bool lowercase = true;
  };
  explicit BertNormalizer(Options options) : options_(options) {}
  void normalize(NormalizedText& text) const override;

 private:
  Options options_;
};

}  // namespace quern
