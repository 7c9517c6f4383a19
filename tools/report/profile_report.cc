#include "tools/report/profile_report.h"

#include <fmt/format.h>

namespace quern::tools {
namespace {

double share(const NodeProfile& node, double read_gbps) {
  return read_gbps > 0 ? node.gbps() / read_gbps : 0.0;
}

NodeProfile sum_of(const PhaseProfile& phase) {
  NodeProfile sum{"all"};
  for (const NodeProfile& node : phase.nodes) {
    sum.count_per_step += node.count_per_step;
    sum.us_per_step += node.us_per_step;
    sum.bytes_per_step += node.bytes_per_step;
  }
  return sum;
}

std::string table_row(const NodeProfile& node, double read_gbps) {
  constexpr double kMiB = 1 << 20;
  return fmt::format("{:<12} {:>7.0f} {:>12.1f} {:>12.2f} {:>9.1f} {:>6.1f} %\n", node.kind,
                     node.count_per_step, node.us_per_step, node.bytes_per_step / kMiB, node.gbps(),
                     share(node, read_gbps) * 100);
}

std::string phase_table(const char* name, const PhaseProfile& phase, double read_gbps) {
  if (phase.num_steps == 0) return "";
  std::string text =
      fmt::format("{}, per step of {}\n{:<12} {:>7} {:>12} {:>12} {:>9} {:>8}\n", name,
                  phase.num_steps, "node", "count", "us", "MiB", "GB/s", "of read");
  for (const NodeProfile& node : phase.nodes) text += table_row(node, read_gbps);
  return text + table_row(sum_of(phase), read_gbps);
}

OrderedJson phase_json(const PhaseProfile& phase, double read_gbps) {
  OrderedJson json = {{"num_steps", phase.num_steps}, {"nodes", OrderedJson::array()}};
  for (const NodeProfile& node : phase.nodes) {
    json["nodes"].push_back({{"kind", node.kind},
                             {"count_per_step", node.count_per_step},
                             {"us_per_step", rounded(node.us_per_step, 3)},
                             {"bytes_per_step", rounded(node.bytes_per_step, 0)},
                             {"gbps", rounded(node.gbps(), 1)},
                             {"share_of_read", rounded(share(node, read_gbps), 4)}});
  }
  return json;
}

}  // namespace

std::string profile_table(const Profile& profile) {
  return fmt::format("read bandwidth, measured: {:.1f} GB/s\n", profile.read_gbps) +
         phase_table("prefill", profile.prefill, profile.read_gbps) +
         phase_table("decode", profile.decode, profile.read_gbps);
}

OrderedJson profile_json(const Profile& profile) {
  return {{"read_gbps", rounded(profile.read_gbps, 1)},
          {"prefill", phase_json(profile.prefill, profile.read_gbps)},
          {"decode", phase_json(profile.decode, profile.read_gbps)}};
}

}  // namespace quern::tools
