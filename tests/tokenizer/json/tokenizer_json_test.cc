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
  for (const nlohmann::json& merge :
       {nlohmann::json("ab"), nlohmann::json("a b c"), nlohmann::json(7),
        nlohmann::json{"a", "b", "c"}, nlohmann::json{"a", 1}}) {
    expect_refused(ErrorCode::bad_file, {"model.merges", "merge 3", "expected"},
                   [&](auto& json) { json["model"]["merges"].push_back(merge); });
  }
  expect_refused(ErrorCode::bad_file, {"model.vocab", "'ab'", "1000000000"},
                 [](auto& json) { json["model"]["vocab"]["ab"] = 1'000'000'000; });
  for (const nlohmann::json& id :
       {nlohmann::json(-1), nlohmann::json(1.5), nlohmann::json("7"), nlohmann::json(nullptr),
        nlohmann::json({1}), nlohmann::json(1ull << 40)}) {
    expect_refused(ErrorCode::bad_file, {"model.vocab", "token 'ab'", "expected an id"},
                   [&](auto& json) { json["model"]["vocab"]["ab"] = id; });
  }
  expect_refused(ErrorCode::bad_file, {"tokenizer.json", "key 'model'", "an object"},
                 [](auto& json) { json.erase("model"); });
}

// Expected ids by Hugging Face's tokenizers 0.23.
TEST(TokenizerJson, TakesOddTablesAsHuggingFaceDoes) {
  // A merge that is there twice has its later rank.
  EXPECT_EQ(
      load_edited([](auto& json) { json["model"]["merges"].push_back("a b"); })->encode("abc"),
      (Ids{'a', 257}));
  // Ids may leave gaps, bytes may lack tokens.
  const auto holes = load_edited([](auto& json) {
    json["model"]["vocab"].erase("!");
    json["model"]["vocab"]["far"] = 5000;
  });
  EXPECT_EQ(holes->encode("a!b"), (Ids{'a', 'b'}));
  EXPECT_EQ(holes->decode(Ids{4000, 5000}, false), "far");
}

// A known token keeps its id, a new one gets the next free one.
TEST(TokenizerJson, GivesAddedTokensTheirIdsAsHuggingFaceDoes) {
  const auto added = [](std::int32_t id, const char* content) {
    return load_edited([=](nlohmann::json& json) {
      json["added_tokens"].push_back({{"id", id}, {"content", content}});
    });
  };
  EXPECT_EQ(added(5, "<x>")->encode("<x>"), Ids{260});
  EXPECT_EQ(added(900, "ab")->encode("xab"), (Ids{'x', 256}));
  EXPECT_EQ(added(260, "")->encode("ab"), Ids{256});  // never found
}

TEST(TokenizerJson, RefusesBrokenAddedTokens) {
  expect_refused(ErrorCode::bad_file, {"added_tokens[0].special", "true or false"},
                 [](auto& json) { json["added_tokens"][0]["special"] = 1; });
  expect_refused(ErrorCode::bad_file, {"added_tokens[0].id"},
                 [](auto& json) { json["added_tokens"][0]["id"] = -1; });
  expect_refused(ErrorCode::bad_file, {"key 'added_tokens'", "a list"},
                 [](auto& json) { json["added_tokens"] = 3; });
}

/// small_tokenizer_json with the value at a place.
std::unique_ptr<Tokenizer> load_with(const char* pointer, const nlohmann::json& value) {
  return load_edited([&](auto& json) { json[nlohmann::json::json_pointer(pointer)] = value; });
}

nlohmann::json sequence(const char* list, std::initializer_list<nlohmann::json> parts) {
  return {{"type", "Sequence"}, {list, nlohmann::json(std::vector<nlohmann::json>(parts))}};
}

TEST(TokenizerJson, RunsTheNormalizers) {
  const auto normalized = [](const nlohmann::json& normalizer, std::string_view text) {
    return load_with("/normalizer", normalizer)
        ->decode(load_with("/normalizer", normalizer)->encode(text), false);
  };
  const auto simple = [](const char* type) { return nlohmann::json{{"type", type}}; };
  EXPECT_EQ(normalized(simple("NFKC"), "\ufb01\u2460"), "fi1");
  EXPECT_EQ(normalized(simple("NFD"), "\u00e9"), "e\u0301");
  EXPECT_EQ(normalized(simple("Lowercase"), "\u00c9A\u0130"), "\u00e9ai\u0307");
  EXPECT_EQ(normalized(sequence("normalizers", {simple("NFD"), simple("StripAccents")}), "\u00e9a"),
            "ea");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}, " a "),
            "a ");
  EXPECT_EQ(normalized({{"type", "Prepend"}, {"prepend", "_"}}, "a"), "_a");
  EXPECT_EQ(
      normalized({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "xy"}}, "aba"),
      "xybxy");
  EXPECT_EQ(normalized({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}},
                       "a   b"),
            "a b");
  EXPECT_EQ(normalized(simple("Nmt"), "a\x01\u200b\tb"), "a  b");
}

TEST(TokenizerJson, RunsThePreTokenizersInFrontOfByteLevel) {
  const nlohmann::json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const auto ids = [&](const nlohmann::json& step, std::string_view text) {
    return load_with("/pre_tokenizer", sequence("pretokenizers", {step, byte_level}))->encode(text);
  };
  EXPECT_EQ(ids({{"type", "Split"},
                 {"pattern", {{"String", "b"}}},
                 {"behavior", "Isolated"},
                 {"invert", false}},
                "abc"),
            (Ids{'a', 'b', 'c'}));
  EXPECT_EQ(ids({{"type", "Digits"}, {"individual_digits", true}}, "ab12"), (Ids{256, '1', '2'}));
  EXPECT_EQ(ids({{"type", "WhitespaceSplit"}}, "ab c"), (Ids{256, 'c'}));
  EXPECT_EQ(ids({{"type", "Whitespace"}}, "ab ,c"), (Ids{256, ',', 'c'}));
  EXPECT_EQ(ids({{"type", "BertPreTokenizer"}}, "ab ,c"), (Ids{256, ',', 'c'}));
}

TEST(TokenizerJson, RefusesPartsItDoesNotKnow) {
  const auto refuse = [](const char* pointer, const nlohmann::json& value,
                         std::initializer_list<std::string_view> parts) {
    expect_refused(ErrorCode::unsupported, parts,
                   [&](auto& json) { json[nlohmann::json::json_pointer(pointer)] = value; });
  };
  refuse("/model/type", "WordPiece", {"tokenizer.json", "model.type", "WordPiece", "Unigram"});
  refuse("/model/dropout", 0.1, {"model.dropout", "0.1"});
  refuse("/normalizer", {{"type", "Rot13"}}, {"normalizer.type", "Rot13", "NFKC"});
  refuse("/pre_tokenizer", {{"type", "UnicodeScripts"}}, {"pre_tokenizer.type", "UnicodeScripts"});
  refuse("/decoder", {{"type", "CTC"}}, {"decoder.type", "CTC"});
  refuse("/post_processor", {{"type", "Odd"}}, {"post_processor.type", "Odd"});
  const auto split = [](const nlohmann::json& pattern, const char* behavior) {
    return nlohmann::json{
        {"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
  };
  refuse("/pre_tokenizer", split({{"Regex", "(a"}}, "Isolated"), {"'(a'", "PCRE2"});
  refuse("/pre_tokenizer", split({{"Regex", "a"}}, "Odd"), {"behavior", "Odd"});
}

// Expected ids by Hugging Face's tokenizers 0.23.
TEST(TokenizerJson, TreatsUnknownTextAsHuggingFaceDoes) {
  const auto encode = [](const nlohmann::json& flags) {
    nlohmann::json model = {{"type", "BPE"},
                            {"vocab",
                             {{"<unk>", 0},
                              {"a", 1},
                              {"b", 2},
                              {"ab", 3},
                              {"<0xE2>", 4},
                              {"<0x82>", 5},
                              {"<0xAC>", 6}}},
                            {"merges", {"a b"}}};
    model.update(flags);
    return load_edited([&](auto& json) {
             json["model"] = model;
             json["pre_tokenizer"] = nullptr;
             json["added_tokens"] = nlohmann::json::array();
           })
        ->encode("xxab\u20acx\u20acyba\u20ac");
  };
  EXPECT_EQ(encode({{"unk_token", "<unk>"}}), (Ids{0, 0, 3, 0, 0, 0, 0, 2, 1, 0}));
  EXPECT_EQ(encode({{"unk_token", "<unk>"}, {"fuse_unk", true}}), (Ids{0, 3, 0, 2, 1, 0}));
  EXPECT_EQ(encode({{"fuse_unk", true}}), (Ids{3, 2, 1}));
  EXPECT_EQ(encode({{"unk_token", "<unk>"}, {"byte_fallback", true}}),
            (Ids{0, 0, 3, 4, 5, 6, 4, 5, 6, 0, 0, 2, 1, 4, 5, 6}));
  EXPECT_EQ(encode({{"byte_fallback", true}}), (Ids{3, 4, 5, 6, 4, 5, 6, 2, 1, 4, 5, 6}));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"'gone'"}), encode({{"unk_token", "gone"}}));
}

TEST(TokenizerJson, BoundsTheLengthBeforeItEncodes) {
  const auto tokenizer = load_edited(kAsIs);
  EXPECT_EQ(tokenizer->encode("abc", {.max_tokens = 1}), Ids{258});
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument,
                     ({"1000 bytes", "at least 143 tokens", "at most 100"}),
                     tokenizer->encode(std::string(1000, 'x'), {.max_tokens = 100}));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"more than 2 tokens", "at most 2"}),
                     tokenizer->encode("x y z", {.max_tokens = 2}));
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
  expect_refused(ErrorCode::bad_file, {"single", "one Sequence"}, with_template({text, text}, {}));
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
