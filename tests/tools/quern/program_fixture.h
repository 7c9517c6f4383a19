#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/test_files.h"
#include "tests/tools/quern/child_process.h"

namespace quern::testing {

/// Runs `quern` on the demo models.
class ProgramTest : public ::testing::Test {
 protected:
  static std::filesystem::path models() {
    return std::filesystem::path(QUERN_SOURCE_DIR) / "examples" / "models";
  }
  static std::string model(const std::string& name) { return (models() / name).string(); }

  void SetUp() override { QUERN_SKIP_WITHOUT(models() / "tale-llama" / "config.json"); }

  /// `quern run` on tale-llama with these arguments.
  static ChildResult run_llama(std::vector<std::string> arguments, std::string input = "") {
    const std::vector<std::string> head = {"run", "-m", model("tale-llama")};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments), std::move(input));
  }

  /// The one JSON object that a successful run printed.
  static nlohmann::ordered_json json_of(const ChildResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1);
    return nlohmann::ordered_json::parse(result.out);
  }

  /// The run failed with one `error:` line that has all of `parts`, and said nothing else.
  static void expect_failure(const ChildResult& result, int exit_code,
                             std::initializer_list<std::string> parts) {
    EXPECT_EQ(result.exit_code, exit_code) << "signal " << result.signal << ": " << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.substr(0, 7), "error: ") << result.err;
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
    for (const std::string& part : parts) {
      EXPECT_NE(result.err.find(part), std::string::npos) << result.err << "lacks " << part;
    }
  }
};

}  // namespace quern::testing
