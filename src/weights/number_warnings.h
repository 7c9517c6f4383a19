#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quern {

/// Collects, over the weights of a model, numbers that make its output useless without an error.
/// They are logged in one line of each kind, however many tensors have them.
class NumberWarnings {
 public:
  struct Count {
    std::int64_t bad = 0;
    std::int64_t all = 0;
  };

  // Each names a tensor with its file; a count of no bad numbers is left out.
  void add_nonfinite(const std::string& file, const std::string& tensor, Count count);
  void add_beyond_float32(const std::string& file, const std::string& tensor, Count count);
  /// Names a weight of the graph, whose finite numbers become infinite in `format`.
  void add_overflow(const std::string& weight, const std::string& format, Count count);

  /// Logs what was added, as warnings; `model` stands in front where several tensors are named.
  void log_all(const std::string& model) const;

 private:
  struct Kind {
    std::string trouble;  ///< "are not finite"
    std::string first;    ///< the whole line where it is the only one
    std::vector<std::string> shown;
    std::size_t num_tensors = 0;
  };
  static void add(Kind& kind, std::string place, const std::string& name, std::string trouble,
                  Count count);
  static void log_kind(const Kind& kind, const std::string& model);

  Kind nonfinite_;
  Kind beyond_float32_;
  Kind overflow_;
};

}  // namespace quern
