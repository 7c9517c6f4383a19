#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <thread>

#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/driver/device_query.h"
#include "backend/executor.h"
#include "base/error.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/backend/conformance/weight_source.h"
#include "tests/support/expect_error.h"

namespace quern::testing {
namespace {

ErrorCode code_of(const std::function<void()>& body, std::string& message) {
  try {
    body();
  } catch (const Error& error) {
    message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::internal;
}

TEST(CudaBackendFactory, NamesWhatIsMissing) {
  const CudaEnvironment environment = query_cuda();
  std::string message;
  if (!environment.unavailable_reason.empty()) {
    EXPECT_EQ(code_of([] { make_cuda_backend(); }, message), ErrorCode::device);
    EXPECT_NE(message.find(environment.unavailable_reason), std::string::npos) << message;
    return;
  }
  const auto num_gpus = static_cast<int>(environment.gpus.size());
  for (const int index : {-1, num_gpus}) {
    EXPECT_EQ(code_of([&] { make_cuda_backend(index); }, message), ErrorCode::invalid_argument);
    EXPECT_EQ(message, "GPU index: expected 0 to " + std::to_string(num_gpus - 1) + ", got " +
                           std::to_string(index));
  }
}

TEST(CublasLt, NamesTheLibraryThatIsMissing) {
  cuda::CublasLt library("libno_such_cublas.so.1");
  std::vector<std::byte> workspace(cuda::CublasLt::kWorkspaceBytes);
  std::string message;
  EXPECT_EQ(code_of([&] { library.multiply({}, workspace, nullptr); }, message), ErrorCode::device);
  EXPECT_NE(message.find("libno_such_cublas.so.1"), std::string::npos) << message;
}

class CudaBackendTest : public BackendTest {
 protected:
  /// A Linear of one row in a harness with the test's lifetime.
  Linear add_linear(StepHarness& harness, std::int64_t features) {
    const auto count = features * features;
    Linear op{};
    op.in = harness.add_value(DType::float32, features, random_floats(features, 1));
    op.out = harness.add_value(DType::float32, features);
    op.weight = harness.add_weight(WeightUse::matrix, DType::float32, features, features,
                                   random_floats(count, 2));
    return op;
  }
};

TEST_P(CudaBackendTest, AllocationsAreZeroedAndTooLargeOnesNamed) {
  const Buffer buffer = backend_->allocate(1000, "values");
  EXPECT_EQ(buffer.device(), backend_->device());
  std::vector<std::byte> content(1000, std::byte{1});
  backend_->copy_out(content.data(), buffer.data(), content.size());
  EXPECT_EQ(content, std::vector<std::byte>(1000));
  EXPECT_NE(backend_->allocate(0, "nothing").data(), nullptr);

  std::string message;
  const std::size_t too_many = std::size_t{1} << 50;
  EXPECT_EQ(code_of([&] { backend_->allocate(too_many, "the KV cache"); }, message),
            ErrorCode::out_of_memory);
  EXPECT_NE(message.find("the KV cache: 1125899906842624 bytes"), std::string::npos) << message;
  EXPECT_NO_THROW(backend_->allocate(1000, "values")) << "an error must not stick";
}

TEST_P(CudaBackendTest, CopiesLargerThanTheStagingRing) {
  const std::size_t count = (std::size_t{41} << 20) / sizeof(std::uint32_t) + 3;
  std::vector<std::uint32_t> content(count);
  for (std::size_t i = 0; i < count; ++i) content[i] = static_cast<std::uint32_t>(i) * 2654435761u;
  const Buffer buffer = backend_->allocate(count * sizeof(std::uint32_t), "values");
  backend_->copy_in(buffer.data(), content.data(), buffer.size_bytes());
  std::vector<std::uint32_t> read(count);
  backend_->copy_out(read.data(), buffer.data(), buffer.size_bytes());
  EXPECT_TRUE(read == content);
}

TEST_P(CudaBackendTest, SmallCopiesKeepTheirOrder) {
  const Buffer buffer = backend_->allocate(sizeof(int), "values");
  for (int i = 0; i < 1000; ++i) {
    backend_->copy_in(buffer.data(), &i, sizeof(i));
    if (i % 100 != 0) continue;
    int read = -1;
    backend_->copy_out(&read, buffer.data(), sizeof(read));
    EXPECT_EQ(read, i);
  }
}

TEST_P(CudaBackendTest, UploadsWeightsOfManySlots) {
  constexpr std::int64_t kRows = 3001;
  constexpr std::int64_t kCols = 5000;
  std::vector<float> content(kRows * kCols);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<float>(i);
  const Buffer buffer = backend_->allocate(content.size() * sizeof(float), "weight");
  const float before = 7.0f;
  backend_->copy_in(buffer.data(), &before, sizeof(before));
  const Weight weight =
      backend_->upload(source_of(WeightUse::matrix, DType::float32, kRows, kCols, content),
                       WeightLayout::row_major, buffer.data());
  EXPECT_EQ(weight.values.row_stride, kCols);
  EXPECT_EQ(weight.values.device, backend_->device());
  std::vector<float> read(content.size());
  backend_->copy_out(read.data(), buffer.data(), read.size() * sizeof(float));
  EXPECT_TRUE(read == content);
  const float after = 8.0f;
  backend_->copy_in(buffer.data(), &after, sizeof(after));
  backend_->copy_out(read.data(), buffer.data(), sizeof(float));
  EXPECT_EQ(read[0], after);
}

TEST_P(CudaBackendTest, AFailingReaderEndsTheUploadAlone) {
  WeightSource source =
      source_of(WeightUse::matrix, DType::float32, 4000, 4000, std::vector<float>(16000000));
  const Buffer buffer = backend_->allocate(64000000, "weight");
  RowReader& reader = source.components.front().read;
  const RowReader read = reader;
  reader = [](std::int64_t first_row, std::int64_t, std::byte*) {
    if (first_row > 0) fail(ErrorCode::bad_file, "row {}", first_row);
  };
  std::string message;
  EXPECT_EQ(
      code_of([&] { backend_->upload(source, WeightLayout::row_major, buffer.data()); }, message),
      ErrorCode::bad_file);
  reader = read;
  backend_->upload(source, WeightLayout::row_major, buffer.data());
}

TEST_P(CudaBackendTest, ReplaysWhatWasRecorded) {
  StepHarness harness(*backend_, DType::float32, {{.q_len = 1}});
  const Linear op = add_linear(harness, 96);
  harness.run(op);
  const std::vector<float> eager = harness.read(op.out);

  const std::vector<Node> nodes = {{op, "linear"}};
  const auto recording = backend_->record(nodes, harness.step());
  harness.poke(harness.step().value(op.out).row<float>(0), 0, 7.0f);
  EXPECT_EQ(harness.read(op.out)[0], 7.0f) << "recording runs nothing";
  recording->replay(3);
  EXPECT_EQ(harness.read(op.out), eager);
  recording->replay(0);
}

TEST_P(CudaBackendTest, AKernelThatCannotStartIsNamedWithItsSizeAndLeavesTheBackendUsable) {
  StepHarness harness(*backend_, DType::float32, {{.q_len = 1}});
  Embed op{};
  op.out = harness.add_value(DType::float32, 32);
  op.token_embedding =
      harness.add_weight(WeightUse::embedding, DType::float32, 100, 32, random_floats(3200, 1));
  harness.run(op);
  const std::vector<float> embedded = harness.read(op.out);
  Graph graph;
  graph.nodes = {{op, "embed"}};
  Step broken = harness.step();
  broken.batch.num_tokens = -1;  // as a size it exceeds any grid
  std::string message;
  EXPECT_EQ(code_of([&] { execute(*backend_, graph.nodes, broken); }, message), ErrorCode::device);
  for (const char* part :
       {"embed: launching", "embed_kernel", "4294967295", "blocks of", "threads"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  harness.run(op);
  EXPECT_EQ(harness.read(op.out), embedded);
}

TEST_P(CudaBackendTest, AWaitIsCountedAndSharedMemoryIsSeenMeanwhile) {
  StepHarness harness(*backend_, DType::float32, {{.past = 1, .decode = true}});
  const Buffer shared = backend_->allocate_shared(sizeof(std::int64_t), "a word");
  auto* published = reinterpret_cast<std::int64_t*>(shared.data());
  harness.step().ring.published = published;
  const std::uint64_t waits = backend_->num_waits();
  for (int i = 0; i < 3; ++i) backend_->run(Advance{}, harness.step());
  EXPECT_TRUE(backend_->wait_until(published, 3, std::chrono::seconds(60)));
  EXPECT_EQ(backend_->num_waits(), waits) << "following is not waiting for all";
  EXPECT_FALSE(backend_->wait_until(published, 4, std::chrono::seconds(60)));
  backend_->wait();
  EXPECT_EQ(backend_->num_waits(), waits + 2);
}

TEST_P(CudaBackendTest, ADeviceThatPublishesNothingIsTakenForHung) {
  const Buffer shared = backend_->allocate_shared(sizeof(std::int64_t), "a word");
  const auto* published = reinterpret_cast<const std::int64_t*>(shared.data());
  const Buffer memory = backend_->allocate(64, "memory");
  backend_->wait();
  backend_->make_stopwatch()->start(10000);  // holds the GPU for 20 ms
  const auto expect_hung = [](const auto& body, const char* part) {
    EXPECT_QUERN_ERROR(ErrorCode::device, ({part, "must be restarted"}), body());
  };
  expect_hung([&] { backend_->wait_until(published, 1, std::chrono::milliseconds(2)); },
              "no progress for 0.002 s");
  // Nothing waits for the device any more, including the destructors of the backend and its memory.
  std::int32_t word = 0;
  expect_hung([&] { backend_->wait(); }, "hung earlier");
  expect_hung([&] { backend_->copy_in(memory.data(), &word, sizeof(word)); }, "hung earlier");
  expect_hung([&] { backend_->copy_out(&word, memory.data(), sizeof(word)); }, "hung earlier");
  expect_hung([&] { backend_->write_now(&word, 1); }, "hung earlier");
  expect_hung([&] { backend_->wait_until(published, 1, std::chrono::seconds(1)); }, "hung earlier");
}

TEST_P(CudaBackendTest, MeasuresWhatTheDeviceReaches) {
  const double gbps = backend_->measure_read_gbps();
  EXPECT_GT(gbps, 50);
  EXPECT_LT(gbps, 2e4);
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const double tflops = backend_->measure_product_tflops(dtype);
    EXPECT_GT(tflops, 1) << dtype_name(dtype);
    EXPECT_LT(tflops, 1e4) << dtype_name(dtype);
  }
}

TEST_P(CudaBackendTest, RefusesAtLoadWhatNoStepCouldRun) {
  Graph graph;
  graph.activation_dtype = DType::float16;
  graph.values = {{Rows::tokens, 4096, DType::float16, "qkv"},
                  {Rows::logit_rows, 32000, DType::float32, "logits"}};
  Attention attention{};
  attention.num_heads = attention.num_kv_heads = 8;
  attention.head_dim = 128;
  const Sample sample{ValueId{1}};
  Limits limits;
  limits.max_seqs = limits.max_logit_rows = 64;
  limits.max_tokens_per_step = 512;
  limits.num_blocks = 1000;
  backend_->check(attention, graph, limits);
  backend_->check(sample, graph, limits);

  const auto refuses = [&](const Op& op, const std::string& what) {
    std::string message;
    EXPECT_EQ(code_of([&] { backend_->check(op, graph, limits); }, message),
              ErrorCode::unsupported);
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  Attention large = attention;
  large.head_dim = 1024;
  refuses(large, "head_dim: expected at most 512");
  large = attention;
  large.rope.emplace().rotary_dim = 512;
  refuses(large, "rotary_dim: expected at most 256");
  const Limits usual = limits;
  limits.num_blocks = std::int64_t{1} << 30;
  refuses(attention, "KV cache");
  limits = usual;
  limits.max_seqs = 1 << 20;
  refuses(attention, "counters");
  limits = usual;
  limits.max_tokens_per_step = 1 << 24;
  refuses(attention, "max_tokens_per_step");
  limits = usual;
  limits.max_logit_rows = 1 << 20;
  refuses(sample, "counters");
  limits = usual;
  graph.values[1].cols = 1 << 24;
  refuses(sample, "vocab_size 16777216");
}

TEST_P(CudaBackendTest, AFailedRecordingLeavesTheBackendUsable) {
  StepHarness harness(*backend_, DType::float32, {{.q_len = 1}});
  const Linear op = add_linear(harness, 32);
  harness.run(op);
  Embed embed{};
  embed.out = harness.add_value(DType::float32, 32);
  embed.token_embedding =
      harness.add_weight(WeightUse::embedding, DType::float32, 100, 32, random_floats(3200, 1));
  const std::vector<Node> nodes = {{embed, "embed"}};
  const Step broken = harness.step();  // no memory for the node's output yet
  for (const RecordedLoop loop : {RecordedLoop::host, RecordedLoop::device}) {
    if (loop == RecordedLoop::device && !backend_->device_loop_obstacle().empty()) continue;
    std::string message;
    EXPECT_EQ(code_of([&] { backend_->record(nodes, broken, loop); }, message),
              ErrorCode::internal);
    EXPECT_TRUE(message.starts_with("embed: ")) << message;
  }
  harness.run(op);
  backend_->record(nodes, harness.step())->replay(1);
  backend_->wait();
}

TEST_P(CudaBackendTest, RecordsWhileAnotherThreadCopies) {
  StepHarness harness(*backend_, DType::float32, {{.q_len = 1}});
  const Linear op = add_linear(harness, 96);
  harness.run(op);
  const std::vector<float> eager = harness.read(op.out);
  const std::vector<Node> nodes = {{op, "linear"}};
  const std::vector<std::byte> source(std::size_t{1} << 20, std::byte{7});
  const Buffer buffer = backend_->allocate(source.size(), "test");
  std::vector<std::unique_ptr<Recording>> recordings;
  std::thread recorder([&] {
    for (int i = 0; i < 20; ++i) recordings.push_back(backend_->record(nodes, harness.step()));
  });
  for (int i = 0; i < 50; ++i) backend_->copy_in(buffer.data(), source.data(), source.size());
  recorder.join();
  harness.poke(harness.step().value(op.out).row<float>(0), 0, 7.0f);
  recordings.back()->replay(1);
  EXPECT_EQ(harness.read(op.out), eager);
  std::vector<std::byte> copied(source.size());
  backend_->copy_out(copied.data(), buffer.data(), copied.size());
  EXPECT_EQ(copied, source);
}

QUERN_INSTANTIATE(CudaBackendTest);

}  // namespace
}  // namespace quern::testing
