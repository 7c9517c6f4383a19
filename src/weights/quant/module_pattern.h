#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace quern {

/// A pattern of a quantization config that names modules ("model.layers.0.mlp.down_proj").
class ModulePattern {
 public:
  /// How specific a match is: compressed-tensors prefers names to expressions, and those to
  /// classes.
  enum class Kind { name, expression, linear_class, none };

  /// compressed-tensors' targets and ignore lists: a name, "re:" and an expression that matches
  /// from the name's start, or a class, of which Linear means every projection.
  /// Errors: unsupported naming `where` and an expression that PCRE2 cannot compile.
  static ModulePattern target(const std::string& text, const std::string& where);
  /// A Python expression that matches from the name's start. Errors as above.
  static ModulePattern expression(const std::string& text, const std::string& where);
  /// An entry of modules_to_not_convert: a module, what it contains, or a name's last components.
  static ModulePattern excluded(const std::string& text);

  /// Errors: unsupported when an expression takes too long.
  bool matches(std::string_view module) const;
  Kind kind() const { return kind_; }

 private:
  struct Expression;

  Kind kind_ = Kind::none;
  bool is_excluded_ = false;
  std::string text_;
  std::shared_ptr<const Expression> expression_;
};

}  // namespace quern
