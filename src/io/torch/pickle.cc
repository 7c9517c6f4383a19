#include "io/torch/pickle.h"

#include <utility>

#include "base/error.h"
#include "io/torch/pickle_names.h"
#include "quern/text.h"

namespace quern {
namespace {

using Kind = PickleValue::Kind;
using Items = std::vector<const PickleValue*>;

constexpr std::size_t kMaxPickledSizes = 64;
constexpr std::size_t kMaxKeyBytes = 255;  ///< of a storage, which is a file's name
constexpr std::size_t kMaxValues = 500'000;

}  // namespace

/// The stack machine of one pickle.
class PickleReader::Machine {
 public:
  Machine(std::string_view& bytes, PickleReader& reader) : bytes_(bytes), reader_(reader) {}

  const PickleValue& run() {
    while (true) {
      const auto code = static_cast<unsigned char>(take(1).front());
      if (code == '.') return *pop();
      step(code);
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    fail(ErrorCode::bad_file, "{}: {}", reader_.file_, reason);
  }

  std::string_view take(std::size_t count) {
    if (count > bytes_.size()) refuse("the pickle is truncated");
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  std::uint64_t take_number(std::size_t size) {
    std::uint64_t number = 0;
    std::size_t shift = 0;
    for (const char byte : take(size)) {
      number |= std::uint64_t{static_cast<unsigned char>(byte)} << shift;
      shift += 8;
    }
    return number;
  }

  std::string_view take_line() {
    const std::size_t end = bytes_.find('\n');
    if (end == bytes_.npos) refuse("the pickle is truncated");
    return take(end + 1).substr(0, end);
  }

  PickleValue& make(Kind kind) {
    if (reader_.values_.size() == kMaxValues) {
      refuse(fmt::format("expected a pickle of at most {} values", kMaxValues));
    }
    PickleValue& value = reader_.values_.emplace_back();
    value.kind = kind;
    return value;
  }

  PickleValue& push_new(Kind kind) {
    PickleValue& value = make(kind);
    stack_.push_back(&value);
    return value;
  }
  void push_integer(std::int64_t number) { push_new(Kind::integer).integer = number; }
  void push_text(Kind kind, std::string_view text) { push_new(kind).text = text; }

  /// Values above the innermost mark alone may be taken.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleValue* pop() {
    if (stack_.size() <= floor()) refuse("the pickle takes a value that is not there");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }

  PickleValue& top() {
    if (stack_.size() <= floor()) refuse("the pickle takes a value that is not there");
    return *stack_.back();
  }

  Items pop_items(std::size_t count) {
    if (stack_.size() - floor() < count) refuse("the pickle takes a value that is not there");
    Items items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  Items pop_mark() {
    if (marks_.empty()) refuse("the pickle lacks a mark");
    Items items = pop_items(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  void push_tuple(Items items) { push_new(Kind::tuple).items = std::move(items); }

  void append(Kind kind, const Items& items) {
    PickleValue& container = top();
    // A set or a counter holds nothing that matters.
    if (container.is(Kind::other)) return;
    if (!container.is(kind)) refuse("the pickle adds values to what is no list or dict");
    if (kind == Kind::dict && items.size() % 2 != 0) refuse("the pickle has a key without a value");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  void put(std::uint64_t index) {
    if (index >= kMaxValues) refuse(fmt::format("expected at most {} kept values", kMaxValues));
    if (index >= memo_.size()) memo_.resize(index + 1);
    memo_[index] = &top();
  }
  void get(std::uint64_t index) {
    if (index >= memo_.size() || memo_[index] == nullptr) {
      refuse("the pickle takes a value that it did not keep");
    }
    stack_.push_back(memo_[index]);
  }

  void push_long(std::string_view digits) {
    PickleValue& value = push_new(Kind::integer);
    if (digits.size() > sizeof(value.integer)) {  // no size of ours; the old format's magic number
      value.kind = Kind::string;
      value.text = digits;
      return;
    }
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
      number |= std::uint64_t{static_cast<unsigned char>(digits[i])} << (8 * i);
    }
    const std::size_t unused = 8 * (sizeof(number) - digits.size());
    value.integer = digits.empty()
                        ? 0
                        : static_cast<std::int64_t>(number << unused) >> unused;  // sign-extended
  }

  void push_global() {
    std::string module(take_line());
    const std::string_view name = take_line();
    if (module == "__builtin__") module = "builtins";  // as Python 2 called it
    const std::string full_name = fmt::format("{}.{}", module, name);
    if (!is_known_pickle_global(full_name)) {
      fail(ErrorCode::unsupported, "{}: expected tensors alone, got {}, which is not read",
           reader_.file_, quoted_name(full_name));
    }
    push_text(Kind::global, full_name);
  }

  void push_storage(const PickleValue& id) {
    const Items& items = id.items;
    const bool is_storage = id.is(Kind::tuple) && (items.size() == 5 || items.size() == 6) &&
                            items[0]->is(Kind::string) && items[0]->text == "storage" &&
                            items[1]->is(Kind::global) && items[2]->is(Kind::string) &&
                            items[2]->text.size() <= kMaxKeyBytes && items[4]->is(Kind::integer);
    if (!is_storage) refuse("expected a persistent id ('storage', type, key, location, size)");
    push_new(Kind::storage).items.assign(items.begin() + 1, items.end());
  }

  void reduce() {
    const PickleValue* arguments = pop();
    const PickleValue* function = pop();
    if (!function->is(Kind::global) || !arguments->is(Kind::tuple)) {
      refuse("the pickle calls what is no function");
    }
    stack_.push_back(&call(function->text, arguments->items));
  }

  /// What a known function returns; it is described, not run.
  PickleValue& call(const std::string& name, const Items& arguments) {
    if (name == "torch._tensor._rebuild_from_type_v2") {
      // (function, type, its arguments, state)
      if (arguments.size() < 3 || !arguments[0]->is(Kind::global) || arguments[0]->text == name ||
          !arguments[2]->is(Kind::tuple)) {
        refuse("expected the arguments of _rebuild_from_type_v2");
      }
      return call(arguments[0]->text, arguments[2]->items);
    }
    if (name == "collections.OrderedDict") return make(Kind::dict);
    if (name.starts_with("torch._utils._rebuild_tensor")) return make_tensor(name, arguments);
    if (name.starts_with("torch._utils._rebuild_parameter") ||
        name == "torch.nn.parameter.Parameter") {
      if (arguments.empty() || !arguments[0]->is(Kind::tensor)) refuse("expected a tensor");
      PickleValue& parameter = make(Kind::other);
      parameter = *arguments[0];
      return parameter;
    }
    if (name == "torch.Size" && arguments.size() == 1 &&
        arguments[0]->items.size() <= kMaxPickledSizes) {
      PickleValue& size = make(Kind::tuple);
      size.items = arguments[0]->items;
      return size;
    }
    return make(Kind::other);
  }

  PickleValue& make_tensor(const std::string& name, const Items& arguments) {
    const bool has_dtype = name.ends_with("_v3");
    const bool is_tensor = arguments.size() >= (has_dtype ? 7 : 4) &&
                           (!has_dtype || arguments[6]->is(Kind::global)) &&
                           arguments[0]->is(Kind::storage) && arguments[1]->is(Kind::integer) &&
                           arguments[2]->is(Kind::tuple) && arguments[3]->is(Kind::tuple);
    if (!is_tensor) refuse(fmt::format("expected the arguments of {}", quoted_name(name)));
    PickleValue& tensor = make(Kind::tensor);
    tensor.integer = arguments[1]->integer;
    tensor.items = {arguments[0], arguments[2], arguments[3]};
    tensor.text = has_dtype ? arguments[6]->text : arguments[0]->items[0]->text;
    return tensor;
  }

  void step(unsigned char code);

  std::string_view& bytes_;
  PickleReader& reader_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleValue*> memo_;
};

void PickleReader::Machine::step(unsigned char code) {
  switch (code) {
    case 0x80:  // PROTO
      if (take_number(1) > 2) refuse("expected a pickle of protocol 2, as torch.save writes");
      break;
    case 'c':
      return push_global();
    case 'R':
    case 0x81:  // NEWOBJ: a class and its arguments
      return reduce();
    case 'b':  // BUILD: attributes, which no tensor needs
      pop();
      top();
      break;
    case '(':
      marks_.push_back(stack_.size());
      break;
    case 't':
      return push_tuple(pop_mark());
    case ')':
      return push_tuple({});
    case 0x85:
    case 0x86:
    case 0x87:
      return push_tuple(pop_items(code - 0x84u));
    case ']':
      push_new(Kind::list);
      break;
    case '}':
      push_new(Kind::dict);
      break;
    case 0x8f:  // EMPTY_SET
      push_new(Kind::other);
      break;
    case 'a':
      return append(Kind::list, pop_items(1));
    case 'e':
      return append(Kind::list, pop_mark());
    case 's':
      return append(Kind::dict, pop_items(2));
    case 'u':
      return append(Kind::dict, pop_mark());
    case 'N':
      push_new(Kind::none);
      break;
    case 0x88:
    case 0x89:
      push_new(Kind::boolean).integer = code == 0x88;
      break;
    case 'J':
      return push_integer(static_cast<std::int32_t>(take_number(4)));
    case 'K':
      return push_integer(static_cast<std::int64_t>(take_number(1)));
    case 'M':
      return push_integer(static_cast<std::int64_t>(take_number(2)));
    case 0x8a:
      return push_long(take(take_number(1)));
    case 'G':
      take(8);
      push_new(Kind::number);
      break;
    case 'X':
      return push_text(Kind::string, take(take_number(4)));
    case 'U':
      return push_text(Kind::string, take(take_number(1)));
    case 'Q':
      return push_storage(*pop());
    case 'h':
      return get(take_number(1));
    case 'j':
      return get(take_number(4));
    case 'q':
      return put(take_number(1));
    case 'r':
      return put(take_number(4));
    default:
      fail(ErrorCode::unsupported, "{}: the opcode {} of the pickle is not read", reader_.file_,
           pickle_opcode_name(code));
  }
}

const PickleValue& PickleReader::read(std::string_view& bytes) {
  return Machine(bytes, *this).run();
}

}  // namespace quern
