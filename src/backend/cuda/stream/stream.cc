#include "backend/cuda/stream/stream.h"

#include "backend/cuda/stream/check_cuda.h"
#include "base/error.h"

namespace quern::cuda {
namespace {

/// Status of a query; cudaErrorNotReady is not an error.
bool is_done(cudaError_t answer, const char* call) {
  if (answer == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check_cuda(answer, call);
  return true;
}

}  // namespace

Stream::Stream() {
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Stream::~Stream() {
  if (!*hung_) static_cast<void>(cudaStreamDestroy(stream_));
}

void Stream::declare_hung(std::chrono::milliseconds patience) const {
  *hung_ = true;
  fail(
      ErrorCode::device,
      "the GPU has made no progress for {} s and is taken for hung; this process cannot use it any "
      "more and must be restarted",
      static_cast<double>(patience.count()) / 1e3);
}

void Stream::check_not_hung() const {
  if (*hung_) {
    fail(ErrorCode::device,
         "the GPU hung earlier; this process cannot use it any more and must be restarted");
  }
}

void Stream::synchronize() const {
  check_not_hung();
  count_wait();
  check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

bool Stream::idle() const { return is_done(cudaStreamQuery(stream_), "cudaStreamQuery"); }

Event::Event() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
}

Event::~Event() { static_cast<void>(cudaEventDestroy(event_)); }

void Event::record(const Stream& stream) {
  check_cuda(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  stream_ = &stream;
}

void Event::synchronize() const {
  if (stream_ == nullptr || is_done(cudaEventQuery(event_), "cudaEventQuery")) return;
  stream_->check_not_hung();
  stream_->count_wait();
  check_cuda(cudaEventSynchronize(event_), "cudaEventSynchronize");
}

}  // namespace quern::cuda
