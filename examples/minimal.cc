// Loads a model folder and streams one completion: minimal MODEL_FOLDER [PROMPT]
#include <iostream>

#include "quern/engine.h"
#include "quern/error.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " MODEL_FOLDER [PROMPT]\n";
    return 2;
  }
  try {
    quern::Engine engine = quern::Engine::load(argv[1]);
    quern::Request request;
    request.prompt = argc > 2 ? argv[2] : "Once upon a time";
    request.sampling.greedy = true;
    request.max_new_tokens = 64;
    const quern::Result result = engine.generate(request, [](const quern::Update& update) {
      std::cout << update.text << std::flush;
      return true;  // false would cancel the request
    });
    std::cout << "\n";
    if (result.finish_reason == quern::FinishReason::error) {
      std::cerr << "error: " << result.error << "\n";
      return 1;
    }
  } catch (const quern::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
