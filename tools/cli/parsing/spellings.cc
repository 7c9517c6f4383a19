#include "tools/cli/parsing/spellings.h"

#include <algorithm>
#include <array>

namespace quern::tools {
namespace {

constexpr std::string_view kDeviceHint =
    "--device cuda runs the whole model on the GPU, --device cpu none of it";
constexpr std::string_view kKvMemoryHint =
    "--kv-cache-memory SIZE says how much memory the KV cache gets";
constexpr std::string_view kFolderHint = "--model takes the Hugging Face folder as it is";
constexpr std::string_view kSeveralGpusHint = "a model runs on one device: --device cuda:N";
constexpr std::string_view kTokenizerHint = "the tokenizer is read from the model's folder";

constexpr std::array kSpellings = {
    // llama.cpp
    Spelling{"--temp", "--temperature", ""},
    Spelling{"--typical", "--typical-p", ""},
    Spelling{"--top-nsigma", "--top-n-sigma", ""},
    Spelling{"--mirostat-ent", "--mirostat-tau", ""},
    Spelling{"--mirostat-lr", "--mirostat-eta", ""},
    Spelling{"--mirostat", "", "--mirostat-tau BITS turns mirostat v2 on, the only version here"},
    Spelling{"--dry-penalty-last-n", "", "--dry-range N counts the last N tokens; 0: all of them"},
    Spelling{"-c", "--max-seq-len", ""},
    Spelling{"--ctx-size", "--max-seq-len", ""},
    Spelling{"--predict", "--max-new-tokens", ""},
    Spelling{"--n-predict", "--max-new-tokens", ""},
    Spelling{"-t", "--threads", ""},
    Spelling{"-s", "--seed", ""},
    Spelling{"-np", "--max-seqs", ""},
    Spelling{"--parallel", "--max-seqs", ""},
    Spelling{"-b", "--max-tokens-per-step", ""},
    Spelling{"-ub", "--max-tokens-per-step", ""},
    Spelling{"--ubatch-size", "--max-tokens-per-step", ""},
    Spelling{"-f", "--prompt-file", ""},
    Spelling{"-r", "--stop", ""},
    Spelling{"--reverse-prompt", "--stop", ""},
    Spelling{"-ngl", "", kDeviceHint},
    Spelling{"--gpu-layers", "", kDeviceHint},
    Spelling{"--n-gpu-layers", "", kDeviceHint},
    Spelling{"--main-gpu", "", "--device cuda:N chooses the GPU"},
    Spelling{"-sm", "", kSeveralGpusHint},
    Spelling{"--split-mode", "", kSeveralGpusHint},
    Spelling{"-ts", "", kSeveralGpusHint},
    Spelling{"--tensor-split", "", kSeveralGpusHint},
    Spelling{"--repeat-penalty", "",
             "--repetition-penalty X counts the whole prompt and text, not the last 64 tokens"},
    Spelling{"--repeat-last-n", "", "--repetition-penalty X counts the whole prompt and text"},
    Spelling{"--samplers", "", "their order is Hugging Face's: docs/engine.md"},
    Spelling{"--flash-attn", "", "attention is always fused"},
    Spelling{"--no-mmap", "", "weights are read into memory of Quern's own"},
    Spelling{"--mlock", "", "weights are read into memory of Quern's own"},
    Spelling{"--hf-repo", "", "hf download ORG/NAME, then --model ORG/NAME"},
    Spelling{"-hf", "", "hf download ORG/NAME, then --model ORG/NAME"},
    Spelling{"--log-disable", "--quiet", ""},
    Spelling{"--no-display-prompt", "", "the prompt is not printed"},
    // vLLM
    Spelling{"--max-tokens", "--max-new-tokens", ""},
    Spelling{"--max-model-len", "--max-seq-len", ""},
    Spelling{"--max-num-seqs", "--max-seqs", ""},
    Spelling{"--max-num-batched-tokens", "--max-tokens-per-step", ""},
    Spelling{"--gpu-memory-utilization", "", kKvMemoryHint},
    Spelling{"-tp", "--tp", kSeveralGpusHint},
    Spelling{"--tensor-parallel-size", "--tp", kSeveralGpusHint},
    Spelling{"--pipeline-parallel-size", "", kSeveralGpusHint},
    Spelling{"--enforce-eager", "", "Quern compiles no graphs: there is nothing to turn off"},
    Spelling{"--trust-remote-code", "", "Quern runs no code of a model's folder"},
    Spelling{"--tokenizer", "", kTokenizerHint},
    Spelling{"--download-dir", "", "hf download ORG/NAME fills the cache that HF_HOME names"},
    // TensorRT-LLM's examples
    Spelling{"--input-text", "--prompt", ""},
    Spelling{"--max-output-len", "--max-new-tokens", ""},
    Spelling{"--output-len", "--max-new-tokens", ""},
    Spelling{"--batch-size", "--max-seqs", ""},
    Spelling{"--max-batch-size", "--max-seqs", ""},
    Spelling{"--max-num-tokens", "--max-tokens-per-step", ""},
    Spelling{"--skip-step", "--skip-steps", ""},
    Spelling{"--check-step", "--check-interval", ""},
    Spelling{"--tensorrt-llm-rouge1-threshold", "--rouge1-threshold", ""},
    Spelling{"--hf-model-dir", "--model", ""},
    Spelling{"--data-type", "--dtype", ""},
    Spelling{"--random-seed", "--seed", ""},
    Spelling{"--tp-size", "--tp", kSeveralGpusHint},
    Spelling{"--engine-dir", "", kFolderHint},
    Spelling{"--tokenizer-dir", "", kTokenizerHint},
    Spelling{"--kv-cache-free-gpu-memory-fraction", "", kKvMemoryHint},
    Spelling{"--streaming", "", "text is always printed as it comes"},
    // Hugging Face's examples
    Spelling{"--model-name-or-path", "--model", ""},
    Spelling{"--model-path", "--model", ""},
    Spelling{"--model-id", "--model", ""},
    Spelling{"--max-length", "",
             "--max-new-tokens N counts new tokens alone, --max-seq-len N those of the prompt too"},
    Spelling{"--do-sample", "", "--temperature, --top-k, --top-p or --min-p turns sampling on"},
};

}  // namespace

const Spelling* find_spelling(std::string_view option) {
  const auto* found = std::find_if(kSpellings.begin(), kSpellings.end(),
                                   [&](const Spelling& one) { return one.theirs == option; });
  return found == kSpellings.end() ? nullptr : found;
}

}  // namespace quern::tools
