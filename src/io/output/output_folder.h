#pragma once

#include <filesystem>

namespace quern {

/// A folder that is written whole or not at all: its files go to a new folder beside the target,
/// with an unpredictable name, which finish() puts in the target's place. remove_unfinished_files()
/// removes it, too. Errors of all members: bad_file naming the path with the reason; not_found for
/// a parent that is not there.
class OutputFolder {
 public:
  /// Fails for a target that is a file or a folder with anything in it.
  explicit OutputFolder(const std::filesystem::path& target);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  /// Removes what was written, unless it was finished.
  ~OutputFolder();

  /// Where files are to be written.
  const std::filesystem::path& working() const { return temporary_; }
  const std::filesystem::path& target() const { return target_; }
  /// Brings the folder to the disk and to its place. Its files must be on the disk.
  void finish();

  /// Fails as the constructor would, without a trace: for the start of long work.
  static void check(const std::filesystem::path& target);

 private:
  std::filesystem::path target_;     ///< where links lead to
  std::filesystem::path temporary_;  ///< empty once finished
  int slot_ = -1;                    ///< in the table of remove_unfinished_files()
};

}  // namespace quern
