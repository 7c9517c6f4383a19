#pragma once

#include <string>
#include <vector>

#include "tools/chat/template_options.h"
#include "tools/server/http/http_server.h"

namespace quern::tools {

struct ServerOptions {
  HttpServerOptions http;
  std::vector<std::string> model_names;   ///< the model's own, then its aliases; at least one
  std::vector<std::string> api_keys;      ///< empty: everybody is let in
  std::vector<std::string> cors_origins;  ///< "*": all
  bool vllm_metrics = false;              ///< metrics under vLLM's names, too
  TemplateOptions rendering;
  int num_workers = 0;  ///< threads that render and tokenize; 0: one for two CPUs, 2 to 8
  bool access_log = true;
};

}  // namespace quern::tools
