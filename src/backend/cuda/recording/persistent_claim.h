#pragma once

namespace quern::cuda {

/// The right to run persistent steps on a GPU. All blocks of such a step must be resident at once,
/// which two of them that run together could keep from each other: one backend of the process has
/// it at a time, and none where other processes' kernels run beside ours (MPS).
class PersistentClaim {
 public:
  explicit PersistentClaim(int device_index);
  PersistentClaim(const PersistentClaim&) = delete;
  PersistentClaim& operator=(const PersistentClaim&) = delete;
  ~PersistentClaim();

  bool is_held() const { return is_held_; }

 private:
  int device_index_;
  bool is_held_ = false;
};

}  // namespace quern::cuda
