// tokenizer.json: what its parts mean, and every way to be wrong.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;
using Edit = std::function<void(nlohmann::json&)>;

std::unique_ptr<Tokenizer> load_edited(const Edit& edit) {
  nlohmann::json json = small_tokenizer_json();
  edit(json);
  const ModelFolder folder({{"tokenizer.json", json.dump()}});
  return Tokenizer::load(folder.path());
}

void expect_refused(ErrorCode code, std::initializer_list<std::string_view> parts,
                    const Edit& edit) {
  expect_error(code, parts, [&] { load_edited(edit); });
}

const Edit kAsIs = [](nlohmann::json&) {};

TEST(TokenizerJson, EncodesByItsMerges) {
  const auto tokenizer = load_edited(kAsIs);
  EXPECT_EQ(tokenizer->encode("abc ab"), (Ids{258, ' ', 256}));
  EXPECT_EQ(tokenizer->encode("a<|end|>b"), (Ids{'a', 259, 'b'}));
  EXPECT_EQ(tokenizer->encode("<|end|>", {.parse_special = false}).size(), 7u);
  EXPECT_EQ(tokenizer->vocab_size(), 260);
  EXPECT_TRUE(tokenizer->is_special(259));
  const Ids ids = {'x', 259, 258};
  EXPECT_EQ(tokenizer->decode(ids, false), "x<|end|>abc");
  EXPECT_EQ(tokenizer->decode(ids, true), "xabc");
}

TEST(TokenizerJson, TakesMergesAsPairsAndAModelWithoutType) {
  const auto tokenizer = load_edited([](auto& json) {
    json["model"]["merges"] = nlohmann::json::parse(R"([["a", "b"], ["b", "c"], ["ab", "c"]])");
    json["model"].erase("type");  // as GPT-2's official file
  });
  EXPECT_EQ(tokenizer->encode("abc"), Ids{258});
}

TEST(TokenizerJson, IgnoresMergesWhenTold) {
  const Edit without_last_merge = [](auto& json) { json["model"]["merges"].erase(2); };
  EXPECT_EQ(load_edited(without_last_merge)->encode("abc"), (Ids{256, 'c'}));
  const auto tokenizer = load_edited([&](auto& json) {
    without_last_merge(json);
    json["model"]["ignore_merges"] = true;
  });
  EXPECT_EQ(tokenizer->encode("abc"), Ids{258});
  EXPECT_EQ(tokenizer->encode("abcd"), (Ids{256, 'c', 'd'}));
}

TEST(TokenizerJson, NormalizesWhenTold) {
  const std::string decomposed = "e\u0301";
  EXPECT_EQ(load_edited(kAsIs)->encode(decomposed), (Ids{'e', 0xCC, 0x81}));
  for (const nlohmann::json& normalizer :
       {nlohmann::json{{"type", "NFC"}},
        nlohmann::json{{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}}}) {
    const auto tokenizer = load_edited([&](auto& json) { json["normalizer"] = normalizer; });
    EXPECT_EQ(tokenizer->encode(decomposed), (Ids{0xC3, 0xA9}));
  }
}

TEST(TokenizerJson, AddsAPrefixSpaceWhenTold) {
  const auto tokenizer =
      load_edited([](auto& json) { json["pre_tokenizer"]["add_prefix_space"] = true; });
  EXPECT_EQ(tokenizer->encode("a b"), (Ids{' ', 'a', ' ', 'b'}));
  EXPECT_EQ(tokenizer->encode(" a"), (Ids{' ', 'a'}));
}

TEST(TokenizerJson, PutsTheTemplateAround) {
  const auto tokenizer = load_edited([](auto& json) {
    json["added_tokens"].push_back({{"id", 260}, {"content", "<s>"}, {"special", true}});
    json["post_processor"] = {{"type", "Sequence"},
                              {"processors",
                               {{{"type", "ByteLevel"}, {"trim_offsets", false}},
                                {{"type", "TemplateProcessing"},
                                 {"single",
                                  {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                   {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                   {{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}}}},
                                 {"special_tokens",
                                  {{"<s>", {{"id", "<s>"}, {"ids", {260}}}},
                                   {"<|end|>", {{"id", "<|end|>"}, {"ids", {259}}}}}}}}}};
  });
  EXPECT_EQ(tokenizer->encode("x"), (Ids{260, 'x', 259}));
  EXPECT_EQ(tokenizer->encode("x", {.add_bos = false}), Ids{'x'});
  EXPECT_EQ(tokenizer->bos_id(), 260);
}

TEST(TokenizerJson, RefusesBrokenTables) {
  expect_refused(ErrorCode::bad_file, {"tokenizer.json", "model.merges", "'b x'", "'bx'"},
                 [](auto& json) { json["model"]["merges"].push_back("b x"); });
  expect_refused(ErrorCode::bad_file, {"model.merges", "'zz a'", "'zz' is not in the vocabulary"},
                 [](auto& json) { json["model"]["merges"].push_back("zz a"); });
  expect_refused(ErrorCode::bad_file, {"model.merges", "'a b'", "twice"},
                 [](auto& json) { json["model"]["merges"].push_back("a b"); });
  for (const nlohmann::json& merge :
       {nlohmann::json("ab"), nlohmann::json("a b c"), nlohmann::json(" a"), nlohmann::json(7),
        nlohmann::json{"a", "b", "c"}, nlohmann::json{"a", 1}}) {
    expect_refused(ErrorCode::bad_file, {"model.merges", "merge 3", "expected"},
                   [&](auto& json) { json["model"]["merges"].push_back(merge); });
  }
  expect_refused(ErrorCode::bad_file, {"model.vocab", "'!'", "'\u00ff'", "same id 33"},
                 [](auto& json) { json["model"]["vocab"]["\u00ff"] = 33; });
  expect_refused(ErrorCode::bad_file, {"model.vocab", "'ab'", "1000000000"},
                 [](auto& json) { json["model"]["vocab"]["ab"] = 1'000'000'000; });
  expect_refused(ErrorCode::bad_file, {"model.vocab", "no token has id 257"}, [](auto& json) {
    json["model"]["vocab"].erase("bc");
    json["model"]["merges"] = {"a b"};
  });
  expect_refused(ErrorCode::bad_file, {"model.vocab", "byte 0x21 has no token"}, [](auto& json) {
    json["model"]["vocab"].erase("!");
    json["model"]["vocab"]["!!"] = 33;
  });
  for (const nlohmann::json& id :
       {nlohmann::json(-1), nlohmann::json(1.5), nlohmann::json("7"), nlohmann::json(nullptr),
        nlohmann::json({1}), nlohmann::json(1ull << 40)}) {
    expect_refused(ErrorCode::bad_file, {"model.vocab", "token 'ab'", "expected an id"},
                   [&](auto& json) { json["model"]["vocab"]["ab"] = id; });
  }
  expect_refused(ErrorCode::bad_file, {"tokenizer.json", "key 'model'", "an object"},
                 [](auto& json) { json.erase("model"); });
}

TEST(TokenizerJson, RefusesAddedTokensThatContradict) {
  const auto added = [](std::int32_t id, const char* content) {
    return [=](nlohmann::json& json) {
      json["added_tokens"].push_back({{"id", id}, {"content", content}});
    };
  };
  expect_refused(ErrorCode::bad_file, {"'<x>' with id 5", "the vocabulary has another token"},
                 added(5, "<x>"));
  expect_refused(ErrorCode::bad_file, {"'<x>' with id 259", "'<|end|>' has the same id"},
                 added(259, "<x>"));
  expect_refused(ErrorCode::bad_file, {"'<|end|>' with id 260", "it also has id 259"},
                 added(260, "<|end|>"));
  expect_refused(ErrorCode::bad_file, {"'ab' with id 260", "in the vocabulary it has id 256"},
                 added(260, "ab"));
  expect_refused(ErrorCode::bad_file, {"added_tokens[1].content"}, added(260, ""));
  expect_refused(ErrorCode::bad_file, {"added_tokens[1].id"}, added(-1, "<x>"));
  expect_refused(ErrorCode::bad_file, {"added_tokens[0].special", "true or false"},
                 [](auto& json) { json["added_tokens"][0]["special"] = 1; });
  expect_refused(ErrorCode::bad_file, {"key 'added_tokens'", "a list"},
                 [](auto& json) { json["added_tokens"] = 3; });
}

TEST(TokenizerJson, RefusesPartsItDoesNotKnow) {
  const auto refuse = [](const char* pointer, const nlohmann::json& value,
                         std::initializer_list<std::string_view> parts) {
    expect_refused(ErrorCode::unsupported, parts,
                   [&](auto& json) { json[nlohmann::json::json_pointer(pointer)] = value; });
  };
  refuse("/model/type", "Unigram", {"tokenizer.json", "model.type", "Unigram"});
  refuse("/model/byte_fallback", true, {"model.byte_fallback", "true"});
  refuse("/model/dropout", 0.1, {"model.dropout", "0.1"});
  refuse("/model/end_of_word_suffix", "</w>", {"model.end_of_word_suffix", "</w>"});
  refuse("/normalizer", {{"type", "Lowercase"}}, {"normalizer.type", "Lowercase"});
  refuse("/normalizer", {{"type", "NFC"}, {"speed", 3}}, {"normalizer.speed", "3"});
  refuse("/pre_tokenizer", nullptr, {"pre_tokenizer", "ByteLevel"});
  refuse("/pre_tokenizer", {{"type", "Whitespace"}}, {"pre_tokenizer.type", "Whitespace"});
  refuse("/pre_tokenizer/odd", 1, {"pre_tokenizer.odd"});
  refuse("/decoder", nullptr, {"key 'decoder'", "ByteLevel"});
  refuse("/decoder", {{"type", "Metaspace"}}, {"decoder.type", "Metaspace"});
  refuse("/post_processor", {{"type", "BertProcessing"}}, {"post_processor.type", "Bert"});
  const auto split = [](const nlohmann::json& pattern, const char* behavior) {
    return nlohmann::json{
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}},
          {{"type", "ByteLevel"}, {"use_regex", false}}}}};
  };
  refuse("/pre_tokenizer", split({{"Regex", "(a"}}, "Isolated"), {"'(a'", "PCRE2"});
  refuse("/pre_tokenizer", split({{"Regex", "a"}}, "Contiguous"), {"behavior", "Contiguous"});
  refuse("/pre_tokenizer", split({{"Glob", "a"}}, "Isolated"), {"pattern.Glob"});
}

TEST(TokenizerJson, RefusesBrokenTemplates) {
  const auto with_template = [](const nlohmann::json& single, const nlohmann::json& specials) {
    return [=](nlohmann::json& json) {
      json["post_processor"] = {
          {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", specials}};
    };
  };
  const nlohmann::json bos = {{"SpecialToken", {{"id", "<s>"}}}};
  const nlohmann::json text = {{"Sequence", {{"id", "A"}}}};
  expect_refused(ErrorCode::bad_file, {"post_processor", "no token has id 999"},
                 with_template({bos, text}, {{"<s>", {{"ids", {999}}}}}));
  expect_refused(ErrorCode::bad_file, {"special_tokens", "'<s>' is not there"},
                 with_template({bos, text}, nlohmann::json::object()));
  expect_refused(ErrorCode::bad_file, {"single", "a template"}, with_template({7, text}, {}));
  expect_refused(ErrorCode::bad_file, {"single", "Sequence"},
                 with_template(nlohmann::json::array(), {}));
  expect_refused(ErrorCode::unsupported, {"post_processor.single"},
                 with_template({text, text}, {}));
}

TEST(TokenizerJson, RefusesWhatIsNoJson) {
  const ModelFolder folder;
  for (const char* text : {"", "{", "[]", "{} {}", "{\"model\": {\"vocab\": {\"a\": 0"}) {
    folder.write("tokenizer.json", text);
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"tokenizer.json"}), Tokenizer::load(folder.path()));
  }
}

}  // namespace
}  // namespace quern::testing
