#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/output/output_folder.h"
#include "io/output/tensor_writer.h"
#include "quantize/plan.h"
#include "runtime/load/opened_model.h"

namespace quern {

/// Writes the folder of a quantized model: its tensors in files as the source's, in safetensors
/// whatever those are; config.json with quantization_config; an index where there are shards; and
/// copies of the source's other files. Matrices may come in any order.
class ModelWriter {
 public:
  /// `model` and `plan` must outlive this. Errors: those of OutputFolder and TensorWriter.
  ModelWriter(const OpenedModel& model, const QuantizePlan& plan,
              const std::filesystem::path& target);

  /// Writes all parts of a matrix of the plan. Thread-safe for different ones.
  void write_matrix(const WeightSpec& spec, const QuantizedRows& matrix);
  /// Replaces a vector, rounded to its dtype.
  void write_vector(const WeightSpec& spec, std::span<const float> values);
  /// Copies all that is left and puts the folder in its place. Errors: also bad_file for files that
  /// cannot be read.
  void finish();

  std::uint64_t total_bytes() const;

 private:
  TensorWriter& writer_of(const std::string& tensor);
  void copy_tensor(const std::string& name, const CheckpointTensor& tensor);
  void write_index() const;
  void write_config() const;

  const OpenedModel& model_;
  const QuantizePlan& plan_;
  OutputFolder folder_;
  std::map<std::string, std::unique_ptr<TensorWriter>> files_;  ///< by name
  std::map<std::string, std::string> file_of_;                  ///< by the source's tensor
  std::set<std::string> done_;                                  ///< the source's tensors
};

/// Writes everything that a folder's weights do not replace from `source` to `target`: all files
/// but weights, their indices and config.json, and the folder of further chat templates.
void copy_other_files(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace quern
