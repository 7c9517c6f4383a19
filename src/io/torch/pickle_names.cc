#include "io/torch/pickle_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace quern {
namespace {

using NamePair = std::pair<std::string_view, std::string_view>;

constexpr std::array<NamePair, 32> kStoredTypes = {{
    {"torch.FloatStorage", "F32"},
    {"torch.HalfStorage", "F16"},
    {"torch.BFloat16Storage", "BF16"},
    {"torch.DoubleStorage", "F64"},
    {"torch.LongStorage", "I64"},
    {"torch.IntStorage", "I32"},
    {"torch.ShortStorage", "I16"},
    {"torch.CharStorage", "I8"},
    {"torch.ByteStorage", "U8"},
    {"torch.BoolStorage", "BOOL"},
    {"torch.ComplexFloatStorage", "C64"},
    {"torch.storage.UntypedStorage", "U8"},
    {"torch.float32", "F32"},
    {"torch.float16", "F16"},
    {"torch.bfloat16", "BF16"},
    {"torch.float64", "F64"},
    {"torch.int64", "I64"},
    {"torch.int32", "I32"},
    {"torch.int16", "I16"},
    {"torch.int8", "I8"},
    {"torch.uint8", "U8"},
    {"torch.bool", "BOOL"},
    {"torch.uint16", "U16"},
    {"torch.uint32", "U32"},
    {"torch.uint64", "U64"},
    {"torch.complex64", "C64"},
    {"torch.float8_e4m3fn", "F8_E4M3"},
    {"torch.float8_e5m2", "F8_E5M2"},
    {"torch.float8_e8m0fnu", "F8_E8M0"},
    {"torch.UntypedStorage", "U8"},
    {"torch.storage._UntypedStorage", "U8"},
    {"torch._UntypedStorage", "U8"},
}};

constexpr std::array<std::string_view, 16> kOtherGlobals = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter",
    "torch.Tensor",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.set",
    "builtins.complex",
};

/// By code. Source: CPython's Lib/pickletools.py.
constexpr std::array<std::pair<unsigned char, std::string_view>, 68> kOpcodes = {{
    {'I', "INT"},
    {'J', "BININT"},
    {'K', "BININT1"},
    {'M', "BININT2"},
    {'L', "LONG"},
    {0x8a, "LONG1"},
    {0x8b, "LONG4"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8e, "BINBYTES8"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
    {'N', "NONE"},
    {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},
    {'V', "UNICODE"},
    {0x8c, "SHORT_BINUNICODE"},
    {'X', "BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {'F', "FLOAT"},
    {'G', "BINFLOAT"},
    {']', "EMPTY_LIST"},
    {'a', "APPEND"},
    {'e', "APPENDS"},
    {'l', "LIST"},
    {')', "EMPTY_TUPLE"},
    {'t', "TUPLE"},
    {0x85, "TUPLE1"},
    {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},
    {'}', "EMPTY_DICT"},
    {'d', "DICT"},
    {'s', "SETITEM"},
    {'u', "SETITEMS"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {'0', "POP"},
    {'2', "DUP"},
    {'(', "MARK"},
    {'1', "POP_MARK"},
    {'g', "GET"},
    {'h', "BINGET"},
    {'j', "LONG_BINGET"},
    {'p', "PUT"},
    {'q', "BINPUT"},
    {'r', "LONG_BINPUT"},
    {0x94, "MEMOIZE"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {'c', "GLOBAL"},
    {0x93, "STACK_GLOBAL"},
    {'R', "REDUCE"},
    {'b', "BUILD"},
    {'i', "INST"},
    {'o', "OBJ"},
    {0x81, "NEWOBJ"},
    {0x92, "NEWOBJ_EX"},
    {0x80, "PROTO"},
    {'.', "STOP"},
    {0x95, "FRAME"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
}};

}  // namespace

std::string pickle_opcode_name(unsigned char code) {
  const auto found = std::ranges::find(kOpcodes, code, [](const auto& row) { return row.first; });
  return fmt::format("{} (0x{:02x})", found == kOpcodes.end() ? "unknown" : found->second, code);
}

bool is_known_pickle_global(std::string_view name) {
  return !torch_stored_type(name).empty() ||
         std::ranges::find(kOtherGlobals, name) != kOtherGlobals.end();
}

std::string_view torch_stored_type(std::string_view global) {
  // Storages that were on a GPU name its module.
  constexpr std::string_view kCuda = "torch.cuda.";
  const std::string on_cpu =
      "torch." + std::string(global.starts_with(kCuda) ? global.substr(kCuda.size()) : "");
  const std::string_view wanted = global.starts_with(kCuda) ? std::string_view(on_cpu) : global;
  const auto found =
      std::ranges::find(kStoredTypes, wanted, [](const auto& row) { return row.first; });
  return found == kStoredTypes.end() ? std::string_view() : found->second;
}

}  // namespace quern
