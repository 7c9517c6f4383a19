#pragma once

namespace quern::kernels {

/// Whether kernels of this build may use programmatic dependent launch (PDL) on the current device
/// (see LaunchShape::use_pdl): it is sm_90 or newer, and their code was compiled for sm_90 or
/// newer. Code for older GPUs runs on newer ones too, but contains no wait. Errors: LaunchError
/// when a CUDA call fails.
bool supports_pdl();

}  // namespace quern::kernels
