#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quern/service.h"
#include "tools/chat/chat_format.h"
#include "tools/server/http/exchange.h"
#include "tools/server/openai/answer_format.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {

/// One prompt that is being answered.
struct RunningPrompt {
  std::shared_ptr<ResponseStream> stream;
  ChoicePrompt prompt;
  std::vector<AnswerText> parsers;  ///< one for each answer of a chat; else empty
};

/// Writes the answers to some prompts, as they come or whole. The choices of the prompts are
/// numbered through. Dropped before the end it cancels what runs.
class GenerationResponder final : public Responder {
 public:
  struct Setup {
    std::unique_ptr<AnswerFormat> format;
    std::vector<RunningPrompt> prompts;
    int answers_per_prompt = 1;
    bool stream = false;
    bool only_prompt = false;  ///< answers end in front of their first token
    HttpHeaders headers;       ///< of every answer
  };
  explicit GenerationResponder(Setup setup);

  void poll(ResponseWriter& writer) override;

 private:
  struct Choice {
    ChoiceOutput output;  ///< all of it where the answer is whole
    bool begun = false;
  };

  void take(RunningPrompt& prompt, std::size_t first_choice);
  void add(RunningPrompt& prompt, const Update& update, std::size_t first_choice);
  void pass_on(const RunningPrompt& prompt, ChoiceOutput output, Choice& choice);
  void stream_update(const RunningPrompt& prompt, const ChoiceOutput& output, Choice& choice);
  void begin(ResponseWriter& writer);
  void write_error(ResponseWriter& writer);
  void write_whole(ResponseWriter& writer);
  void end();

  Setup setup_;
  std::vector<Choice> choices_;
  std::size_t num_ended_ = 0;  ///< prompts
  Usage usage_;
  std::string events_;  ///< not written yet
  bool begun_ = false;
  bool done_ = false;
  std::optional<std::string> error_;
};

}  // namespace quern::tools
