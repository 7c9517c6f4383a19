#pragma once

#include <string>
#include <string_view>

namespace quern {

/// The name of a pickle opcode with its code: "INST (0x69)". Source: CPython's pickletools.py.
std::string pickle_opcode_name(unsigned char code);

/// Whether a pickle may name "module.name": what torch's weights_only unpickler knows and tensors
/// need.
bool is_known_pickle_global(std::string_view name);

/// "F32" for "torch.FloatStorage" and "torch.float32"; empty for what holds no numbers that we
/// know.
std::string_view torch_stored_type(std::string_view global);

}  // namespace quern
