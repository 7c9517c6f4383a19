#include "compare/side.h"

#include <algorithm>
#include <utility>

#include "backend/executor.h"
#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "graph/kv_vector.h"

namespace quern {
namespace {

/// Nodes are run one at a time: recordings are not needed.
EnginePlan without_recordings(EnginePlan plan) {
  plan.decode_buckets = {};
  return plan;
}

}  // namespace

ComparedSide::ComparedSide(OpenedModel model, const EngineOptions& resolved,
                           std::unique_ptr<Backend> backend)
    : model_(std::move(model)),
      backend_(std::move(backend)),
      plan_(without_recordings(plan_engine(model_, *backend_, resolved))),
      runner_(model_, plan_, *backend_) {
  if (resolved.quantize_activations == ActivationQuantization::int8) {
    fail(ErrorCode::unsupported,
         "quantize_activations int8: expected off, checkpoint or token in a comparison, which "
         "every device has");
  }
  plan_.options.on_load = nullptr;
}

void ComparedSide::run(const Node& node) { execute(*backend_, {&node, 1}, step()); }

std::int64_t ComparedSide::num_rows(ValueId id) {
  return step().batch.num_rows(graph().value(id).rows);
}

HostRows ComparedSide::read(ValueId id) {
  const Tensor& tensor = step().value(id);
  return {read_floats(tensor.data, tensor.dtype, num_rows(id) * tensor.cols), tensor.cols};
}

void ComparedSide::write(ValueId id, const HostRows& rows) {
  const Tensor& tensor = step().value(id);
  QUERN_CHECK(rows.cols == tensor.cols && rows.rows() == num_rows(id));
  write_floats(tensor.data, tensor.dtype, rows.values);
}

HostRows ComparedSide::read_weight(WeightId id, std::int64_t first_row, std::int64_t count) {
  const Weight& weight = step().weight(id);
  const bool is_tiled = weight.layout == WeightLayout::tiles;
  // Row-major, rows of one scale each, whatever blocks the weight has: a block's scales are copied
  // for each. Tiles are copied by rows of them.
  WeightFormat format = weight.format;
  if (!is_tiled) format.group_rows = 1;
  const std::int64_t first_tile_row = first_row / TileGeometry::kTileRows;
  const std::int64_t skipped = is_tiled ? first_row - first_tile_row * TileGeometry::kTileRows : 0;
  const WeightShape shape = {skipped + count, weight.in_features};
  std::vector<std::byte> bytes(storage_bytes(format, shape, weight.layout));
  const Weight rows = view_weight(format, shape, weight.layout, bytes.data(), Device{});
  const auto copy_rows = [&](const Tensor& from, std::int64_t from_row, const Tensor& to,
                             std::int64_t to_row, std::int64_t num_rows = 1) {
    if (from.empty()) return;
    const auto row_bytes = from.cols * static_cast<std::int64_t>(dtype_bytes(from.dtype));
    backend_->copy_out(to.data + to_row * row_bytes, from.data + from_row * row_bytes,
                       static_cast<std::size_t>(num_rows * row_bytes));
  };
  if (is_tiled) {
    const std::int64_t num_rows = std::min(rows.values.rows, weight.values.rows - first_tile_row);
    copy_rows(weight.input_permutation, 0, rows.input_permutation, 0);
    copy_rows(weight.values, first_tile_row, rows.values, 0, num_rows);
    copy_rows(weight.scales, first_tile_row, rows.scales, 0, num_rows);
    copy_rows(weight.zero_points, first_tile_row, rows.zero_points, 0, num_rows);
  } else if (format.is_quantized()) {
    copy_rows(weight.input_permutation, 0, rows.input_permutation, 0);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t group_rows = weight.format.group_rows;
      const std::int64_t block = group_rows == 0 ? 0 : (first_row + row) / group_rows;
      copy_rows(weight.values, first_row + row, rows.values, row);
      copy_rows(weight.scales, block, rows.scales, row);
      copy_rows(weight.zero_points, block, rows.zero_points, row);
    }
  } else {
    copy_rows(weight.values, first_row, rows.values, 0, count);
  }
  HostRows result{std::vector<float>(static_cast<std::size_t>(count * weight.in_features)),
                  weight.in_features};
  for (std::int64_t row = 0; row < count; ++row) {
    dequantize_row(rows, skipped + row,
                   std::span(result.values)
                       .subspan(static_cast<std::size_t>(row * weight.in_features),
                                static_cast<std::size_t>(weight.in_features)));
  }
  return result;
}

std::array<ComparedSide::BlockVectors, 2> ComparedSide::block_vectors(int layer,
                                                                      std::int32_t block) {
  const KvCacheView& cache = step().kv_cache;
  return {{{cache.key(layer, block, 0, 0), cache.key_scale(layer, block, 0, 0), cache.format.keys},
           {cache.value(layer, block, 0, 0), cache.value_scale(layer, block, 0, 0),
            cache.format.values}}};
}

std::vector<float> ComparedSide::read_vectors(const BlockVectors& vectors) {
  const KvCacheView& cache = step().kv_cache;
  const auto count = static_cast<std::size_t>(cache.num_kv_heads) * cache.block_size;
  const auto size = static_cast<std::size_t>(cache.head_dim);
  if (vectors.scales == nullptr) {
    return read_floats(vectors.data, vectors.stored, static_cast<std::int64_t>(count * size));
  }
  const std::vector<std::byte> numbers = read_bytes(vectors.data, count * size);
  std::vector<float> scales(count);
  backend_->copy_out(scales.data(), vectors.scales, count * sizeof(float));
  std::vector<float> floats(count * size);
  for (std::size_t i = 0; i < count; ++i) {
    dequantize_kv_vector(vectors.stored, numbers.data() + i * size, scales[i],
                         std::span(floats).subspan(i * size, size));
  }
  return floats;
}

std::vector<float> ComparedSide::read_block(int layer, std::int32_t block) {
  std::vector<float> content;
  for (const BlockVectors& vectors : block_vectors(layer, block)) {
    const std::vector<float> floats = read_vectors(vectors);
    content.insert(content.end(), floats.begin(), floats.end());
  }
  return content;
}

void ComparedSide::copy_block(ComparedSide& from, int layer, std::int32_t block) {
  const KvCacheView& cache = step().kv_cache;
  const auto count = static_cast<std::size_t>(cache.num_kv_heads) * cache.block_size;
  const auto sources = from.block_vectors(layer, block);
  const auto destinations = block_vectors(layer, block);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const BlockVectors& to = destinations[i];
    if (sources[i].stored != to.stored) {
      write_floats(to.data, to.stored, from.read_vectors(sources[i]));
      continue;
    }
    const auto copy = [&](void* destination, const void* source, std::size_t size_bytes) {
      const std::vector<std::byte> bytes = from.read_bytes(source, size_bytes);
      backend_->copy_in(destination, bytes.data(), bytes.size());
    };
    copy(to.data, sources[i].data,
         count * static_cast<std::size_t>(cache.head_dim) * dtype_bytes(to.stored));
    if (to.scales != nullptr) copy(to.scales, sources[i].scales, count * sizeof(float));
  }
}

std::int32_t ComparedSide::read_token(int state_row) {
  std::int32_t id = -1;
  backend_->copy_out(&id, step().state.last_token + state_row, sizeof(id));
  return id;
}

void ComparedSide::write_token(int state_row, std::int32_t id) {
  backend_->copy_in(step().state.last_token + state_row, &id, sizeof(id));
}

std::vector<std::byte> ComparedSide::read_bytes(const void* device, std::size_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  backend_->copy_out(bytes.data(), device, bytes.size());
  return bytes;
}

std::vector<float> ComparedSide::read_floats(const std::byte* device, DType dtype,
                                             std::int64_t count) {
  const std::vector<std::byte> bytes =
      read_bytes(device, static_cast<std::size_t>(count) * dtype_bytes(dtype));
  std::vector<float> values(static_cast<std::size_t>(count));
  load_floats(dtype, bytes.data(), values);
  return values;
}

void ComparedSide::write_floats(std::byte* device, DType dtype, std::span<const float> values) {
  std::vector<std::byte> bytes(values.size() * dtype_bytes(dtype));
  store_floats(dtype, values, bytes.data());
  backend_->copy_in(device, bytes.data(), bytes.size());
}

}  // namespace quern
