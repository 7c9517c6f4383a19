#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// "model" of tokenizer.json: turns the pieces of a text into ids. Immutable: threads may share it.
class TokenModel {
 public:
  virtual ~TokenModel();
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;

  /// Encodes one text after the other, with memory of its own.
  class Encoder {
   public:
    virtual ~Encoder() = default;
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;
    /// Appends the ids of a piece, well-formed UTF-8. Errors: invalid_argument for text that the
    /// model has no token for, not even an unknown one.
    virtual void encode(std::string_view piece, std::vector<std::int32_t>& ids) = 0;

   protected:
    Encoder() = default;
  };
  /// This must outlive the encoder. `text_bytes` is about how much text will come.
  virtual std::unique_ptr<Encoder> make_encoder(std::size_t text_bytes) const = 0;

  /// The written form of an id below size(); empty for one without a token.
  virtual std::string token(std::int32_t id) const = 0;
  /// The id of a token by its written form.
  virtual std::optional<std::int32_t> find(std::string_view token) const = 0;
  /// One more than the largest id.
  virtual std::int32_t size() const = 0;
  /// How many tokens there are: fewer than size() where ids leave gaps.
  virtual std::int32_t num_tokens() const = 0;
  /// No id stands for more bytes of text than this, unless unknown text is fused into one.
  virtual std::size_t max_token_bytes() const = 0;
  virtual bool fuses_unknown() const { return false; }

 protected:
  TokenModel() = default;
};

}  // namespace quern
