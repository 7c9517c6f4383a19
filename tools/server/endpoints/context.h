#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/service.h"
#include "tools/chat/chat_format.h"
#include "tools/server/http/exchange.h"
#include "tools/server/openai/chat_fields.h"
#include "tools/server/server_options.h"

namespace quern::tools {

/// What the endpoints share: the engine, and the model as its clients see it. Thread-safe.
class ApiContext {
 public:
  /// Errors: none for a model without a usable chat template; chats are then refused.
  ApiContext(Service& service, const ModelInfo& model, const ServerOptions& options);

  Service& service() const { return service_; }
  const ServerOptions& options() const { return options_; }
  const std::string& model_name() const { return options_.model_names.front(); }
  std::int64_t created() const { return created_; }  ///< seconds since 1970

  /// Errors: ApiError 503, with the state as its code, unless the engine is ready.
  void require_ready() const;
  /// Needs a ready engine.
  const ModelLimits& limits() const;
  /// Null for random weights. Needs a ready engine.
  const Tokenizer* tokenizer() const;
  /// Errors: ApiError 400.
  const Tokenizer& required_tokenizer() const;

  /// The name to answer with. Errors: ApiError 404 for a model that is not served.
  std::string served_name(const std::optional<std::string>& asked) const;

  const ChatFormat& chat_format() const;  ///< Errors: ApiError 400 without a template
  ChatFormat::Prompt chat_prompt(const TemplateFields& fields) const;
  /// The ids of a text as a prompt. Errors: ApiError 400 naming `param`.
  std::vector<std::int32_t> encode(const std::string& text, const std::string& param) const;
  /// Errors: ApiError 400 with both numbers, for a prompt that is longer than the context.
  void check_length(std::size_t num_tokens, const std::string& param) const;

 private:
  std::string without_paths(std::string text) const;

  Service& service_;
  ModelInfo model_;
  ServerOptions options_;
  std::int64_t created_ = 0;
  std::optional<ChatFormat> chat_format_;
  std::string chat_failure_;
  mutable std::once_flag limits_known_;
  mutable ModelLimits limits_;
};

}  // namespace quern::tools
