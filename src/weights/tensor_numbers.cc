#include "weights/tensor_numbers.h"

#include <algorithm>

namespace quern {

TensorNumbers::TensorNumbers(std::int64_t numel, std::size_t number_bytes,
                             std::int64_t block_numbers)
    : numel_(numel),
      number_bytes_(number_bytes),
      block_numbers_(block_numbers),
      num_blocks_((numel + block_numbers - 1) / block_numbers),
      values_(std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(numel) *
                                                          number_bytes)) {}

const std::byte* TensorNumbers::get(const ReadBlock& read) {
  for (std::int64_t block = next_block_++; block < num_blocks_; block = next_block_++) {
    read_block(block, read);
  }
  for (std::int64_t done = num_done_; done < num_blocks_; done = num_done_) num_done_.wait(done);
  const std::lock_guard lock(error_mutex_);
  if (error_) std::rethrow_exception(error_);
  return values_.get();
}

void TensorNumbers::read_block(std::int64_t block, const ReadBlock& read) {
  const std::int64_t first = block * block_numbers_;
  try {
    read(first, std::min(block_numbers_, numel_ - first),
         values_.get() + static_cast<std::size_t>(first) * number_bytes_);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
  if (++num_done_ == num_blocks_) num_done_.notify_all();
}

}  // namespace quern
