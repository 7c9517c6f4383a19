#pragma once

namespace quern::kernels {

/// Whether kernels of this build may use programmatic dependent launch (PDL) on the calling
/// thread's device (see LaunchShape::use_pdl): it is an sm_90 or newer, and their code was compiled
/// for one. Code for older GPUs, which a newer one runs too, does not know how to wait. Errors:
/// LaunchError when CUDA does not answer.
bool supports_pdl();

}  // namespace quern::kernels
