#include "graph/graph.h"

#include <gtest/gtest.h>

#include "graph/builder.h"
#include "tests/graph/small_graph.h"

namespace quern {
namespace {

template <typename Id>
std::vector<Id> ids(std::initializer_list<int> numbers) {
  std::vector<Id> result;
  for (const int number : numbers) result.push_back(Id{number});
  return result;
}

void expect_operands(const Op& op, std::string_view name, std::initializer_list<int> inputs,
                     std::initializer_list<int> outputs, std::initializer_list<int> weights) {
  SCOPED_TRACE(name);
  EXPECT_EQ(op_name(op), name);
  EXPECT_EQ(op_inputs(op), ids<ValueId>(inputs));
  EXPECT_EQ(op_outputs(op), ids<ValueId>(outputs));
  EXPECT_EQ(op_weights(op), ids<WeightId>(weights));
}

TEST(Graph, OperandsOfBareOps) {
  expect_operands(Embed{ValueId{1}, WeightId{2}, {}}, "Embed", {}, {1}, {2});
  NormLinear norm_linear{};
  norm_linear.residual = ValueId{1};
  norm_linear.out = ValueId{2};
  norm_linear.gain = WeightId{3};
  norm_linear.weight = WeightId{4};
  expect_operands(norm_linear, "NormLinear", {1}, {2}, {3, 4});
  Attention attention{};
  attention.qkv = ValueId{1};
  attention.out = ValueId{2};
  expect_operands(attention, "Attention", {1}, {2}, {});
  expect_operands(Linear{ValueId{1}, ValueId{2}, WeightId{3}, {}}, "Linear", {1}, {2}, {3});
  expect_operands(AllReduce{ValueId{1}, ValueId{2}}, "AllReduce", {1}, {2}, {});
  expect_operands(AllGather{ValueId{1}, ValueId{2}}, "AllGather", {1}, {2}, {});
  expect_operands(Sample{ValueId{1}}, "Sample", {1}, {}, {});
  expect_operands(Advance{}, "Advance", {}, {}, {});
}

TEST(Graph, OperandsOfFullOps) {
  expect_operands(Embed{ValueId{1}, WeightId{2}, WeightId{3}}, "Embed", {}, {1}, {2, 3});
  NormLinear norm_linear{};
  norm_linear.residual = ValueId{1};
  norm_linear.delta = ValueId{2};
  norm_linear.residual_out = ValueId{3};
  norm_linear.out = ValueId{4};
  norm_linear.gain = WeightId{5};
  norm_linear.norm_bias = WeightId{6};
  norm_linear.weight = WeightId{7};
  norm_linear.bias = WeightId{8};
  expect_operands(norm_linear, "NormLinear", {1, 2}, {3, 4}, {5, 6, 7, 8});
  Attention attention{};
  attention.qkv = ValueId{1};
  attention.out = ValueId{2};
  attention.q_norm = WeightId{3};
  attention.k_norm = WeightId{4};
  expect_operands(attention, "Attention", {1}, {2}, {3, 4});
  expect_operands(Linear{ValueId{1}, ValueId{2}, WeightId{3}, WeightId{4}}, "Linear", {1}, {2},
                  {3, 4});
}

TEST(Graph, TypeString) {
  EXPECT_EQ(type_string({Rows::tokens, 192, DType::float16, "x"}), "[tokens, 192] float16");
  EXPECT_EQ(type_string({Rows::logit_rows, 7, DType::float32, ""}), "[logit_rows, 7] float32");
}

TEST(GraphBuilder, NumbersValuesWeightsAndNodesInOrder) {
  GraphBuilder builder(DType::bfloat16);
  EXPECT_EQ(builder.activation_dtype(), DType::bfloat16);
  const ValueId value = builder.value("embed", 4, DType::float32);
  const WeightId weight =
      builder.weight(testing::weight_spec("tokens", WeightUse::embedding, 3, 4));
  builder.node("embed", Embed{value, weight, {}});
  const Graph graph = std::move(builder).finish();
  EXPECT_EQ(graph.activation_dtype, DType::bfloat16);
  EXPECT_EQ(graph.value(value).name, "embed");
  EXPECT_EQ(graph.weight(weight).name, "tokens");
  ASSERT_EQ(graph.nodes.size(), 1u);
  EXPECT_EQ(graph.nodes[0].name, "embed");
}

}  // namespace
}  // namespace quern
