#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "chat/jinja/builtins/parameters.h"
#include "chat/jinja/builtins/path.h"
#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/builtins/text_tools.h"
#include "chat/jinja/value/print.h"

namespace quern::jinja {

AttributePath::AttributePath(Interpreter& run, const Value& attribute) : run_(run) {
  if (attribute.is(Kind::none)) return;
  if (!attribute.is(Kind::string)) {
    parts_.push_back(attribute);
    return;
  }
  for (const Text& part : split_at(attribute.text(), ".", -1)) {
    std::int64_t index = 0;
    const char* end = part.bytes().data() + part.size();
    const auto result = std::from_chars(part.bytes().data(), end, index);
    const bool is_index =
        result.ec == std::errc() && result.ptr == end && !part.view().starts_with('-');
    parts_.push_back(is_index ? Value::of(index) : run.heap().string(part));
  }
}

Value AttributePath::of(const Value& value, const Value& otherwise) const {
  Value found = value;
  for (const Value& part : parts_) {
    run_.heap().step();
    found = run_.item(found, part);
    if (!otherwise.is(Kind::none) && found.is(Kind::undefined)) found = otherwise;
  }
  return found;
}

Value without_case(Interpreter& run, const Value& value) {
  if (!value.is(Kind::string)) return value;
  return run.heap().string(with_case(run.heap(), value.text(), Case::lower));
}

namespace {

using Keyed = std::pair<Value, Value>;  // what it is sorted by, the value

void sort_keyed(Interpreter& run, std::vector<Keyed>& values, bool reverse) {
  std::size_t logarithm = 1;
  while ((std::size_t{1} << logarithm) < values.size()) ++logarithm;
  run.heap().step(values.size() * logarithm);
  if (reverse) std::reverse(values.begin(), values.end());
  std::stable_sort(values.begin(), values.end(), [&](const Keyed& a, const Keyed& b) {
    return compare(a.first, b.first, "<") == -1;
  });
  if (reverse) std::reverse(values.begin(), values.end());
}

Value values_of(Interpreter& run, const std::vector<Keyed>& keyed) {
  std::vector<Value> values;
  values.reserve(keyed.size());
  for (const auto& [key, value] : keyed) values.push_back(value);
  return run.heap().list(std::move(values));
}

Value sort(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;
  if (p.has(2) && p.get(2).is(Kind::string)) {
    for (const Text& path : split_at(p.text(2), ",", -1)) {
      paths.emplace_back(run, run.heap().string(path));
    }
  } else {
    paths.emplace_back(run, p.get(2));
  }
  std::vector<Keyed> keyed;
  for (const Value& value : run.items(self)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      const Value key = path.of(value);
      keys.push_back(p.flag(1, false) ? key : without_case(run, key));
    }
    keyed.emplace_back(run.heap().list(std::move(keys)), value);
  }
  sort_keyed(run, keyed, p.flag(0, false));
  return values_of(run, keyed);
}

Value dictsort(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!self.is(Kind::dict)) {
    if (self.is(Kind::undefined)) undefined_error(self);
    type_error(fmt::format("'{}' object has no attribute 'items'", type_name(self)));
  }
  const std::string by = p.has(1) ? p.text(1).bytes() : "key";
  if (by != "key" && by != "value") {
    fail_at(0, Failure::Kind::runtime,
            "FilterArgumentError: You can only sort by either \"key\" or \"value\"");
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : self.dict().entries) {
    const Value sorted_by = by == "key" ? key : value;
    keyed.emplace_back(p.flag(0, false) ? sorted_by : without_case(run, sorted_by),
                       run.heap().list({key, value}, Kind::tuple));
  }
  sort_keyed(run, keyed, p.flag(2, false));
  return values_of(run, keyed);
}

Value unique(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("unique", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(run, p.get(1));
  const Value seen = run.heap().dict();
  std::vector<Value> values;
  for (const Value& value : run.items(self)) {
    Value key = path.of(value);
    if (!p.flag(0, false)) key = without_case(run, key);
    if (seen.dict().find(key) != nullptr) continue;
    run.heap().set(seen.dict(), key, Value());
    values.push_back(value);
  }
  return run.heap().list(std::move(values), Kind::iterator);
}

template <bool kMax>
Value extreme(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p(kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(run, p.get(1));
  const std::vector<Value>& values = run.items(self);
  if (values.empty()) return run.heap().undefined("No aggregated item, sequence was empty.");
  const auto key_of_value = [&](const Value& value) {
    const Value key = path.of(value);
    return p.flag(0, false) ? key : without_case(run, key);
  };
  Value best = values.front();
  Value best_key = key_of_value(best);
  for (std::size_t i = 1; i < values.size(); ++i) {
    const Value key = key_of_value(values[i]);
    if (compare(key, best_key, kMax ? ">" : "<") == (kMax ? 1 : -1)) {
      best = values[i];
      best_key = key;
    }
  }
  return best;
}

Value join(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("join", arguments, {"d", "attribute"});
  const AttributePath path(run, p.get(1));
  const Text separator = p.has(0) ? printed(run.heap(), p.get(0)) : Text();
  Text out;
  bool is_first = true;
  for (const Value& value : run.items(self)) {
    if (!is_first) {
      run.heap().charge(separator.cost());
      out.append(separator);
    }
    is_first = false;
    const std::size_t before = out.size();
    print(run.heap(), path.of(value), out);
    run.heap().charge(out.size() - before);
  }
  return run.heap().string(std::move(out));
}

Value first(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("first", arguments, {});
  if (self.is(Kind::iterator)) {
    List& source = self.list();
    if (source.next < source.items.size()) return source.items[source.next++];
    return run.heap().undefined("No first item, sequence was empty.");
  }
  const std::vector<Value>& values = run.items(self);
  if (values.empty()) return run.heap().undefined("No first item, sequence was empty.");
  return values.front();
}

Value last(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("last", arguments, {});
  if (self.is(Kind::iterator)) type_error("'generator' object is not reversible");
  const std::vector<Value>& values = run.items(self);
  if (values.empty()) return run.heap().undefined("No last item, sequence was empty.");
  return values.back();
}

Value length(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("length", arguments, {});
  std::size_t size = 0;
  if (self.is(Kind::string)) {
    run.heap().read(self.text().size());
    size = self.text().length();
  } else if (self.is(Kind::dict)) {
    size = self.dict().entries.size();
  } else if (self.has_items() && !self.is(Kind::iterator)) {
    size = self.list().items.size();
  } else if (!self.is(Kind::undefined)) {
    type_error(fmt::format("object of type '{}' has no len()", type_name(self)));
  }
  return Value::of(static_cast<std::int64_t>(size));
}

Value list(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("list", arguments, {});
  return run.heap().list(run.items(self));
}

Value items(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("items", arguments, {});
  std::vector<Value> pairs;
  if (self.is(Kind::dict)) {
    for (const auto& [key, value] : self.dict().entries) {
      pairs.push_back(run.heap().list({key, value}, Kind::tuple));
    }
  } else if (!self.is(Kind::undefined)) {
    type_error("Can only get item pairs from a mapping.");
  }
  return run.heap().list(std::move(pairs), Kind::iterator);
}

Value reverse(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("reverse", arguments, {});
  if (self.is(Kind::iterator) || (!self.is(Kind::string) && !self.has_items() &&
                                  !self.is(Kind::dict) && !self.is(Kind::undefined))) {
    if (!self.is(Kind::iterator)) {
      fail_at(0, Failure::Kind::runtime, "FilterArgumentError: argument must be iterable");
    }
  }
  std::vector<Value> values = run.items(self);
  std::reverse(values.begin(), values.end());
  if (!self.is(Kind::string)) return run.heap().list(std::move(values), Kind::iterator);
  Text out;
  for (const Value& character : values) out.append(character.text());
  return run.heap().string(std::move(out));
}

/// Errors: limit, before anything of that size is made.
void charge_fill(Interpreter& run, std::int64_t count) {
  if (count > 1'000'000) run.heap().charge(run.heap().limits().max_bytes + 1);
}

Value batch(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("batch", arguments, {"linecount", "fill_with"}, 1);
  const std::int64_t size = p.integer(0, 1);
  std::vector<Value> rows;
  std::vector<Value> row;
  for (const Value& value : run.items(self)) {
    if (static_cast<std::int64_t>(row.size()) == size) {
      rows.push_back(run.heap().list(std::exchange(row, {})));
    }
    row.push_back(value);
  }
  if (!row.empty()) {
    if (p.is_given(1)) {
      charge_fill(run, size);
      while (static_cast<std::int64_t>(row.size()) < size) row.push_back(p.get(1));
    }
    rows.push_back(run.heap().list(std::move(row)));
  }
  return run.heap().list(std::move(rows), Kind::iterator);
}

Value slice(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value>& values = run.items(self);
  const std::int64_t slices = p.integer(0, 1);
  if (slices == 0) {
    fail_at(0, Failure::Kind::runtime, "ZeroDivisionError: integer division or modulo by zero");
  }
  charge_fill(run, slices);
  std::vector<Value> columns;
  const auto size = static_cast<std::int64_t>(values.size());
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < slices; ++i) {
    const std::int64_t count = size / slices + (i < size % slices ? 1 : 0);
    std::vector<Value> column(values.begin() + at, values.begin() + at + count);
    if (p.is_given(1) && i >= size % slices) column.push_back(p.get(1));
    columns.push_back(run.heap().list(std::move(column)));
    at += count;
  }
  return run.heap().list(std::move(columns), Kind::iterator);
}

Value sum(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("sum", arguments, {"attribute", "start"});
  const AttributePath path(run, p.get(0));
  Value total = p.has(1) ? p.get(1) : Value::of(std::int64_t{0});
  if (total.is(Kind::string)) type_error("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& value : run.items(self)) total = run.add(total, path.of(value));
  return total;
}

Value groupby(Interpreter& run, const Value& self, Arguments& arguments) {
  const Parameters p("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(run, p.get(0));
  const bool is_exact = p.flag(2, false);
  std::vector<Keyed> keyed;
  for (const Value& value : run.items(self)) {
    const Value key = path.of(value, p.get(1));
    keyed.emplace_back(is_exact ? key : without_case(run, key), value);
  }
  sort_keyed(run, keyed, false);
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < keyed.size();) {
    std::size_t end = begin;
    std::vector<Value> members;
    while (end < keyed.size() && equals(keyed[end].first, keyed[begin].first)) {
      members.push_back(keyed[end++].second);
    }
    // The group is called as its first member is written.
    const Value grouper = path.of(members.front(), p.get(1));
    groups.push_back(run.heap().list({grouper, run.heap().list(std::move(members))}, Kind::tuple));
    begin = end;
  }
  return run.heap().list(std::move(groups));
}

constexpr NamedFilter kSequenceFilters[] = {
    {"sort", sort},         {"dictsort", dictsort}, {"unique", unique}, {"min", extreme<false>},
    {"max", extreme<true>}, {"join", join},         {"first", first},   {"last", last},
    {"length", length},     {"count", length},      {"list", list},     {"items", items},
    {"reverse", reverse},   {"batch", batch},       {"slice", slice},   {"sum", sum},
    {"groupby", groupby},
};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  for (const auto& [known, filter] : kSequenceFilters) {
    if (known == name) return filter;
  }
  return nullptr;
}

}  // namespace quern::jinja
