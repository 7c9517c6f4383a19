#pragma once

#include <string>

namespace quern {

/// A shared library opened at run time, so that the program starts on machines without it.
class DynamicLibrary {
 public:
  /// Opens the library with that soname; it may be missing: see error().
  explicit DynamicLibrary(const char* soname);
  DynamicLibrary(const DynamicLibrary&) = delete;
  DynamicLibrary& operator=(const DynamicLibrary&) = delete;
  ~DynamicLibrary();

  /// Why the library could not be opened; empty when it was.
  const std::string& error() const { return error_; }

  /// Address of the function, or nullptr when the library or the name is missing.
  template <typename Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;

  void* handle_;
  std::string error_;
};

}  // namespace quern
