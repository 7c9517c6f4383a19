#include <fmt/format.h>

#include <array>
#include <ctime>
#include <string>

#include "base/text/utf8.h"
#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

struct Function final : Callable {
  Filter function = nullptr;
  const char* own_name = "";

  Value call(Interpreter& run, Arguments& arguments) const override {
    return function(run, Value(), arguments);
  }
  std::string name() const override { return own_name; }
};

/// cycler() and joiner(): they remember where they are, as the sandbox of Jinja allows.
struct Joiner final : Callable {
  Value separator;
  mutable bool is_used = false;

  Value call(Interpreter& run, Arguments&) const override {
    if (is_used) return separator;
    is_used = true;
    return run.heap().string(Text());
  }
  std::string name() const override { return "joiner"; }
};

Value raise_exception(Interpreter& run, const Value&, Arguments& arguments) {
  const Parameters p("raise_exception", arguments, {"message"}, 1);
  fail_at(0, Failure::Kind::raised, printed(run.heap(), p.get(0)).bytes());
}

/// datetime.now().strftime(format).
Value strftime_now(Interpreter& run, const Value&, Arguments& arguments) {
  const Parameters p("strftime_now", arguments, {"format"}, 1);
  const Text& format = p.text(0);
  constexpr std::size_t kMaxBytes = 4096;
  run.heap().charge(format.size() + kMaxBytes);
  std::string out;
  for (std::size_t at = 0; at < format.size(); ++at) {
    const char c = format.bytes()[at];
    if (c != '%' || at + 1 == format.size()) {
      out += c;
      continue;
    }
    std::string directive = "%";
    char letter = format.bytes()[++at];
    if ((letter == '-' || letter == '_' || letter == '0' || letter == '^' || letter == '#' ||
         letter == 'E' || letter == 'O') &&
        at + 1 < format.size()) {
      directive += letter;
      letter = format.bytes()[++at];
    }
    if (letter == 'f') {
      out += "000000";
    } else if (letter != 'z' && letter != 'Z') {  // a time without a zone has neither
      directive += letter;
      std::array<char, 256> buffer{};
      const std::size_t length =
          std::strftime(buffer.data(), buffer.size(), directive.c_str(), &run.now());
      out.append(buffer.data(), length);
    }
  }
  return run.heap().string(replace_invalid_utf8(out));
}

Value range(Interpreter& run, const Value&, Arguments& arguments) {
  constexpr std::int64_t kMaxRange = 100'000;  // of Jinja's sandbox
  const Parameters p("range", arguments, {"start", "stop", "step"}, 1);
  const std::int64_t start = p.has(1) ? p.integer(0, 0) : 0;
  const std::int64_t stop = p.has(1) ? p.integer(1, 0) : p.integer(0, 0);
  const std::int64_t step = p.integer(2, 1);
  if (step == 0) value_error("range() arg 3 must not be zero");
  std::vector<Value> values;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(values.size()) == kMaxRange) {
      fail_at(0, Failure::Kind::runtime,
              fmt::format("OverflowError: Range too big. The sandbox blocks ranges larger than "
                          "MAX_RANGE ({}).",
                          kMaxRange));
    }
    values.push_back(Value::of(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  run.heap().step(values.size() / 8);
  const Value result = run.heap().list(std::move(values), Kind::range);
  List& list = result.list();
  list.bounds[0] = start;
  list.bounds[1] = stop;
  list.bounds[2] = step;
  return result;
}

/// dict(mapping or pairs, **named).
void fill(Interpreter& run, Dict& dict, Arguments& arguments, bool checks_names) {
  if (arguments.positional.size() > 1) {
    type_error(
        fmt::format("dict expected at most 1 argument, got {}", arguments.positional.size()));
  }
  const auto set = [&](const Value& key, const Value& value) {
    if (checks_names && key.is(Kind::string) && key.text().view().starts_with('_')) {
      fail_at(0, Failure::Kind::runtime,
              "SecurityError: a namespace's attribute may not begin with an underscore, got " +
                  quoted_name(key.text().view()));
    }
    run.heap().set(dict, key, value);
  };
  if (!arguments.positional.empty()) {
    const Value source = arguments.positional[0];
    if (source.is(Kind::dict)) {
      for (const auto& [key, value] : source.dict().entries) set(key, value);
    } else {
      for (const Value& pair : run.items(source)) {
        const std::vector<Value>& both = run.items(pair);
        if (both.size() != 2) {
          value_error(fmt::format("dictionary update sequence element has length {}; 2 is required",
                                  both.size()));
        }
        set(both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) set(run.heap().string(name), value);
}

Value make_dict(Interpreter& run, const Value&, Arguments& arguments) {
  const Value dict = run.heap().dict();
  fill(run, dict.dict(), arguments, false);
  return dict;
}

Value make_namespace(Interpreter& run, const Value&, Arguments& arguments) {
  auto* made = run.heap().make<Namespace>();
  fill(run, made->attributes, arguments, true);
  return Value::of(Kind::name_space, made);
}

Value make_joiner(Interpreter& run, const Value&, Arguments& arguments) {
  const Parameters p("joiner", arguments, {"sep"});
  auto* joiner = run.heap().make<Joiner>();
  joiner->separator = p.has(0) ? p.get(0) : run.heap().string(Text(", "));
  return Value::of(Kind::callable, joiner);
}

Value make_cycler(Interpreter&, const Value&, Arguments&) { unsupported("the function 'cycler'"); }
Value lipsum(Interpreter&, const Value&, Arguments&) { unsupported("the function 'lipsum'"); }

}  // namespace

void add_globals(Interpreter& run, Globals& globals) {
  static constexpr struct {
    const char* name;
    Filter function;
  } kFunctions[] = {
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
      {"range", range},
      {"dict", make_dict},
      {"namespace", make_namespace},
      {"joiner", make_joiner},
      {"cycler", make_cycler},
      {"lipsum", lipsum},
  };
  for (const auto& [name, function] : kFunctions) {
    auto* made = run.heap().make<Function>();
    made->function = function;
    made->own_name = name;
    globals.set(name, Value::of(Kind::callable, made));
  }
}

}  // namespace quern::jinja
