// Uses what README.md says that each installed header has: public_api MODEL_FOLDER. Prints only
// errors.
#include <cstdint>
#include <iostream>
#include <vector>

#include "quern/benchmark.h"
#include "quern/devices.h"
#include "quern/engine.h"
#include "quern/error.h"
#include "quern/files.h"
#include "quern/json.h"
#include "quern/log.h"
#include "quern/safetensors.h"
#include "quern/text.h"
#include "quern/version.h"

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::cerr << "public_api: " << what << "\n";
  ++failures;
}

void check_engine(const char* model) {
  quern::EngineOptions options;
  options.device = quern::DeviceChoice::cpu;
  options.profile = true;
  quern::Engine engine = quern::Engine::load(model, options);
  quern::Request request;
  request.prompt = "Once upon a time";
  request.max_new_tokens = 2;
  expect(engine.resolve(request).sampling.temperature.has_value(), "Engine::resolve");
  expect(engine.generate(request).output_ids.size() == 2, "Engine::generate");
  expect(quern::decode_cost(engine, 1, 8).flops > 0, "decode_cost");
  expect(quern::prefill_cost(engine, 1, 8).weight_bytes > 0, "prefill_cost");
  expect(quern::measure_read_gbps(engine) > 0, "measure_read_gbps");
  expect(quern::measure_product_tflops(engine) > 0, "measure_product_tflops");
  expect(!quern::profile(engine).prefill.nodes.empty(), "profile");
  expect(!quern::graph_dump(engine).empty(), "graph_dump");
}

void check_files(const char* model) {
  const auto folder = quern::find_model_folder(model);
  expect(!quern::read_text_file(folder / "config.json", 1 << 20).empty(), "read_text_file");
  expect(!quern::Tokenizer::load(folder)->encode("a").empty(), "Tokenizer::load");
  expect(quern::read_model_info(model).vocab_size > 0, "read_model_info");
  const std::vector<float> values = {1, 2};
  const std::vector<quern::SafetensorsTensor> tensors = {{"x", {2}, values}};
  quern::write_safetensors("x.safetensors", tensors);
  const auto file = quern::SafetensorsFile::open("x.safetensors");
  expect(file.entries().size() == 1 && file.read(file.entries()[0]).size() == 8, "SafetensorsFile");
  const auto record = quern::JsonRecord::parse("{\"prompt\": \"a\"}", "prompts.jsonl:1");
  expect(record.required_string("prompt") == "a", "JsonRecord");
  try {
    quern::find_model_folder("/nowhere");
    expect(false, "find_model_folder takes a folder that is not there");
  } catch (const quern::Error& error) {
    expect(error.code() == quern::ErrorCode::not_found, "Error::code");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  quern::set_log_sink([](quern::LogLevel, std::string_view) {});
  check_engine(argv[1]);
  check_files(argv[1]);
  const quern::CudaEnvironment cuda = quern::query_cuda();
  expect(cuda.gpus.empty() != cuda.unavailable_reason.empty(), "query_cuda");
  expect(quern::available_threads() >= 1, "available_threads");
  expect(quern::available_host_memory() > 0, "available_host_memory");
  expect(quern::replace_invalid_utf8("a\xff") == "a\xEF\xBF\xBD", "replace_invalid_utf8");
  expect(quern::quoted_name("a\n") == "'a\\n'", "quoted_name");
  expect(*quern::version() != '\0', "version");
  return failures == 0 ? 0 : 1;
}
