#include "quantize/model_writer.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "base/memory/shape.h"
#include "io/json/json.h"
#include "quern/output_file.h"
#include "quern/safetensors.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

/// Bytes of a tensor or file that are copied at a time.
constexpr std::uint64_t kCopiedBytes = std::uint64_t{4} << 20;

/// "model-00001-of-00002.safetensors" also for "pytorch_model-00001-of-00002.bin".
std::string written_name(const CheckpointTensor& tensor) {
  constexpr std::string_view kTorchName = "pytorch_model";
  const fs::path path = tensor.file->path();
  if (path.extension() == ".safetensors") return path.filename().string();
  std::string stem = path.stem().string();
  if (stem.starts_with(kTorchName)) stem = "model" + stem.substr(kTorchName.size());
  return stem + ".safetensors";
}

void write_json(const fs::path& path, const nlohmann::ordered_json& json) {
  OutputFile file(path);
  file.write(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  file.finish();
}

}  // namespace

ModelWriter::ModelWriter(const OpenedModel& model, const QuantizePlan& plan, const fs::path& target)
    : model_(model), plan_(plan), folder_(target) {
  std::map<std::string, std::vector<StoredTensor>> tensors;
  for (const auto& [name, tensor] : model.checkpoint.tensors()) {
    file_of_.emplace(name, written_name(tensor));
  }
  std::set<std::string> replaced;
  for (const WeightId id : plan.matrices) {
    const WeightSpec& spec = model.graph.weight(id);
    const DType scale_dtype = scale_dtype_of(model.checkpoint, spec);
    for (const WeightPart& part : spec.parts) {
      replaced.insert(part.name);
      for (StoredTensor& tensor : quantized_tensors(plan, part, scale_dtype)) {
        tensors[file_of_.at(part.name)].push_back(std::move(tensor));
      }
    }
  }
  for (const auto& [name, tensor] : model.checkpoint.tensors()) {
    if (replaced.contains(name)) continue;
    tensors[file_of_.at(name)].push_back({name, tensor.stored_type, tensor.shape});
  }
  for (auto& [file, stored] : tensors) {
    files_.emplace(file, std::make_unique<TensorWriter>(folder_.working() / file, stored));
  }
}

TensorWriter& ModelWriter::writer_of(const std::string& tensor) {
  return *files_.at(file_of_.at(tensor));
}

void ModelWriter::write_matrix(const WeightSpec& spec, const QuantizedRows& matrix) {
  const DType scale_dtype = scale_dtype_of(model_.checkpoint, spec);
  std::int64_t first_row = 0;
  for (const WeightPart& part : spec.parts) {
    const auto tensors = quantized_tensors(plan_, part, scale_dtype);
    const auto bytes = tensor_bytes(plan_, part, scale_dtype, matrix, first_row);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      writer_of(part.name).write(tensors[i].name, 0, bytes[i]);
    }
    first_row += part.shape[part.transposed ? 1 : 0];
    done_.insert(part.name);
  }
  QUERN_CHECK(first_row == matrix.rows, "{}: {} of {} rows", spec.name, first_row, matrix.rows);
}

void ModelWriter::write_vector(const WeightSpec& spec, std::span<const float> values) {
  std::size_t first = 0;
  for (const WeightPart& part : spec.parts) {
    const CheckpointTensor* tensor = model_.checkpoint.find(part.name);
    QUERN_CHECK(tensor != nullptr, "{}", part.name);
    const auto count = static_cast<std::size_t>(checked_numel(part.shape).value());
    const auto own = values.subspan(first, count);
    std::vector<std::byte> bytes(tensor->size_bytes);
    if (tensor->stored_type == "F64") {
      const std::vector<double> wide(own.begin(), own.end());
      std::memcpy(bytes.data(), wide.data(), bytes.size());
    } else {
      store_floats(parse_safetensors_dtype(tensor->stored_type).value(), own, bytes.data());
    }
    writer_of(part.name).write(part.name, 0, bytes);
    done_.insert(part.name);
    first += count;
  }
}

void ModelWriter::copy_tensor(const std::string& name, const CheckpointTensor& tensor) {
  if (!tensor.is_dense()) return writer_of(name).write(name, 0, tensor.read_all());
  std::vector<std::byte> block;
  for (std::uint64_t done = 0; done < tensor.size_bytes; done += block.size()) {
    block.resize(static_cast<std::size_t>(std::min(kCopiedBytes, tensor.size_bytes - done)));
    tensor.read(done, block);
    writer_of(name).write(name, done, block);
  }
}

void ModelWriter::finish() {
  for (const auto& [name, tensor] : model_.checkpoint.tensors()) {
    if (!done_.contains(name)) copy_tensor(name, tensor);
  }
  for (const auto& [name, file] : files_) file->finish();
  if (files_.size() > 1) write_index();
  write_config();
  copy_other_files(model_.folder, folder_.working());
  folder_.finish();
}

std::uint64_t ModelWriter::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, file] : files_) total += file->total_bytes();
  return total;
}

void ModelWriter::write_index() const {
  std::map<std::string, std::string> file_of_tensor;  // sorted
  for (const auto& [name, file] : files_) {
    for (const StoredTensor& tensor : file->tensors()) file_of_tensor.emplace(tensor.name, name);
  }
  write_json(folder_.working() / "model.safetensors.index.json",
             {{"metadata", {{"total_size", total_bytes()}}}, {"weight_map", file_of_tensor}});
}

void ModelWriter::write_config() const {
  const fs::path path = model_.folder / "config.json";
  // It has been read before, within its limits; here the order of its keys is kept.
  nlohmann::ordered_json config =
      nlohmann::ordered_json::parse(read_text_file(path, kMaxConfigBytes), nullptr, false);
  if (!config.is_object()) fail(ErrorCode::bad_file, "{}: expected an object", path.string());
  config["quantization_config"] = quantization_config(plan_);
  write_json(folder_.working() / "config.json", config);
}

}  // namespace quern
