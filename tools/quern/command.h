#pragma once

#include <array>
#include <functional>

#include "tools/cli/cli_forward.h"
#include "tools/cli/exit_code.h"

namespace quern::tools {

/// What a subcommand does once its options are parsed.
using Action = std::function<ExitCode()>;

// Each adds its options to its subcommand; the action keeps alive what they fill.
Action add_run(CLI::App& app);
Action add_chat(CLI::App& app);
Action add_tokenize(CLI::App& app);
Action add_inspect(CLI::App& app);
Action add_logits(CLI::App& app);
Action add_summarize(CLI::App& app);
Action add_perplexity(CLI::App& app);
Action add_accuracy(CLI::App& app);
Action add_rouge(CLI::App& app);
Action add_compare(CLI::App& app);
Action add_bench(CLI::App& app);
Action add_template(CLI::App& app);
Action add_serve(CLI::App& app);
Action add_quantize(CLI::App& app);
Action add_env(CLI::App& app);
/// Not one of kCommands: prints the shell completion and the man page of the program around it.
Action add_describe(CLI::App& app);

/// A subcommand by name.
struct Command {
  const char* name;
  const char* description;
  const char* example;
  Action (*add)(CLI::App& app);
};

inline constexpr std::array<Command, 15> kCommands = {{
    {"run", "Continue prompts with a model's text",
     "quern run -m examples/models/tale-llama -p \"Once upon a time\" -n 64", add_run},
    {"chat", "Talk to a chat model", "quern chat -m examples/models/tale-qwen2", add_chat},
    {"serve", "Serve a model by OpenAI's HTTP API", "quern serve -m examples/models/tale-qwen2",
     add_serve},
    {"tokenize", "Turn texts into token ids, or back",
     "quern tokenize -m examples/models/tale-llama -p \"three sons\"", add_tokenize},
    {"inspect", "Show a model: sizes, end tokens, memory plan, layer graph",
     "quern inspect -m examples/models/tale-qwen2 --max-seqs 16 --graph", add_inspect},
    {"logits", "Write all logits of a prompt and its likelihood",
     "quern logits -m examples/models/tale-gpt2 -p \"three sons\" -o logits.safetensors",
     add_logits},
    {"summarize", "Summarize articles; score the summaries against a reference by ROUGE",
     "quern summarize -m examples/models/tale-gpt2 --dataset cnn.jsonl --dtype float16 "
     "--reference cpu-float32 --check-accuracy",
     add_summarize},
    {"perplexity", "Measure the perplexity of a text; compare dtypes, devices, models",
     "quern perplexity -m examples/models/tale-gpt2 --file tales.txt --dtype float16 "
     "--against cpu-float32 --max-kl 1e-3",
     add_perplexity},
    {"accuracy", "Run all accuracy checks against a reference; write a page with verdicts",
     "quern accuracy -m examples/models/tale-gpt2 --dtype float16 --dataset cnn.jsonl -o page.md",
     add_accuracy},
    {"rouge", "Score texts against references by ROUGE",
     "quern rouge --predictions summaries.jsonl --references highlights.txt --stemmer", add_rouge},
    {"compare", "Compare two devices or dtypes, node by node",
     "quern compare -m examples/models/tale-gpt2 -p \"three sons\" --device cuda", add_compare},
    {"bench", "Time prompts of given lengths and batch sizes",
     "quern bench --shape gpt_350m --batch-size \"1;8\" --input-output-len \"128,20\"", add_bench},
    {"quantize", "Write a quantized folder of a model",
     "quern quantize -m examples/models/tale-llama -o tale-int4 --format int4 --calibration "
     "tales.txt",
     add_quantize},
    {"template", "Render chat messages with a model's template",
     "quern template -m examples/models/tale-qwen2 --messages messages.json --json", add_template},
    {"env", "Show versions and the machine, for reports", "quern env --json", add_env},
}};

}  // namespace quern::tools
