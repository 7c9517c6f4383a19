#include "base/system/cgroup.h"

#include <gtest/gtest.h>

#include <string>

#include "base/system/system.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// A machine made of files in a folder: the content of /proc and the control groups' mounts.
class CgroupTest : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& content) const {
    testing::write_file(folder_ / path, content);
  }
  void be_v2(const std::string& path, const std::string& mount_root = "/") const {
    write("proc/self/cgroup", "0::" + path + "\n");
    write("proc/self/mountinfo",
          "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
          "30 23 0:26 " +
              mount_root + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void be_v1(const std::string& path, const std::string& mount_root = "/") const {
    write("proc/self/cgroup", "9:name=systemd:/\n4:memory:" + path + "\n3:cpu,cpuacct:" + path +
                                  "\n2:cpuset:/\n0::/\n");
    write("proc/self/mountinfo",
          "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
          "32 31 0:29 " +
              mount_root +
              " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
              "rw,cpu,cpuacct\n"
              "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
              "35 31 0:32 " +
              mount_root + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
  /// A group with a limit ("max" or bytes), of version 2.
  void limit_v2(const std::string& folder, const std::string& limit, std::uint64_t used,
                std::uint64_t inactive_file = 0, std::uint64_t active_file = 0) const {
    const std::string path = "sys/fs/cgroup" + folder;
    write(path + "/memory.max", limit + "\n");
    write(path + "/memory.current", std::to_string(used) + "\n");
    write(path + "/memory.stat",
          "anon 4096\nfile 8192\ninactive_anon 1\nactive_anon 2\n"
          "inactive_file " +
              std::to_string(inactive_file) + "\nactive_file " + std::to_string(active_file) +
              "\n");
  }
  std::filesystem::path root() const { return folder_.path(); }

  testing::TempFolder folder_;
};

std::string bytes(std::uint64_t mebibytes) { return std::to_string(mebibytes * kMiB); }

TEST_F(CgroupTest, NoGroupsMeanNoLimit) {
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt);
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
  be_v2("/");  // a mount without files
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt);
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
}

TEST_F(CgroupTest, PageCacheIsNotUsed) {
  be_v2("/");
  limit_v2("", bytes(100), 90 * kMiB, 30 * kMiB, 40 * kMiB);
  EXPECT_EQ(cgroup_available_memory(root()), 80 * kMiB);
  limit_v2("", bytes(100), 90 * kMiB);
  EXPECT_EQ(cgroup_available_memory(root()), 10 * kMiB);
  limit_v2("", bytes(100), 120 * kMiB);  // over its limit
  EXPECT_EQ(cgroup_available_memory(root()), 0u);
  limit_v2("", bytes(100), 10 * kMiB, 20 * kMiB);  // the files are not read at one instant
  EXPECT_EQ(cgroup_available_memory(root()), 100 * kMiB);
  limit_v2("", "max", 90 * kMiB);
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt);
}

TEST_F(CgroupTest, TheTightestGroupOnTheWayUpCounts) {
  be_v2("/user.slice/session.scope/engine");
  limit_v2("/user.slice/session.scope/engine", bytes(500), 0);
  limit_v2("/user.slice/session.scope", "max", 0);
  limit_v2("/user.slice", bytes(300), 100 * kMiB);
  EXPECT_EQ(cgroup_available_memory(root()), 200 * kMiB);
  limit_v2("/user.slice", bytes(1000), 100 * kMiB);
  EXPECT_EQ(cgroup_available_memory(root()), 500 * kMiB);
  limit_v2("", bytes(50), 0);  // a container's own root
  EXPECT_EQ(cgroup_available_memory(root()), 50 * kMiB);
  limit_v2("/other", bytes(1), 0);  // not this process's group
  EXPECT_EQ(cgroup_available_memory(root()), 50 * kMiB);
}

TEST_F(CgroupTest, AContainerMaySeeTheHostsPath) {
  be_v2("/docker/abc/engine", "/docker/abc");
  limit_v2("/engine", bytes(70), 0);
  limit_v2("", bytes(90), 0);
  EXPECT_EQ(cgroup_available_memory(root()), 70 * kMiB);
  be_v2("/elsewhere", "/docker/abc");  // not below the mount: only the mount's root is known
  EXPECT_EQ(cgroup_available_memory(root()), 90 * kMiB);
  be_v2("/../sibling");
  EXPECT_EQ(cgroup_available_memory(root()), 90 * kMiB);
}

TEST_F(CgroupTest, VersionOne) {
  be_v1("/docker/abc");
  const std::string memory = "sys/fs/cgroup/memory/docker/abc";
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "123456\n");
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt);
  write(memory + "/memory.limit_in_bytes", bytes(100));
  write(memory + "/memory.usage_in_bytes", bytes(60));
  write(memory + "/memory.stat", "cache 0\ninactive_file 5\nactive_file 5\ntotal_inactive_file " +
                                     bytes(20) + "\ntotal_active_file " + bytes(10) + "\n");
  EXPECT_EQ(cgroup_available_memory(root()), 70 * kMiB);
  be_v1("/docker/abc", "/docker/abc");
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt) << "the mount's root has no limit";
}

TEST_F(CgroupTest, CpuQuotas) {
  be_v2("/a/b");
  write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
  write("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), 3);
  write("sys/fs/cgroup/a/b/cpu.max", "20000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), 1);

  be_v1("/c");
  const std::string cpu = "sys/fs/cgroup/cpu,cpuacct/c";
  write(cpu + "/cpu.cfs_period_us", "100000\n");
  write(cpu + "/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
  write(cpu + "/cpu.cfs_quota_us", "400000\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), 4);
}

TEST_F(CgroupTest, GarbageIsNoLimit) {
  write("proc/self/cgroup", "nonsense\n::::\n0::\n");
  write("proc/self/mountinfo", "a b\n - \n1 2 3 / /m rw - cgroup2 cgroup2 rw\n");
  write("m/memory.max", "many\n");
  write("m/cpu.max", "1\n");
  EXPECT_EQ(cgroup_available_memory(root()), std::nullopt);
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
  write("m/cpu.max", "100 0\n");
  EXPECT_EQ(cgroup_cpu_limit(root()), std::nullopt);
}

TEST_F(CgroupTest, AvailableMemoryIsTheLessOfMachineAndGroup) {
  write("proc/meminfo", "MemTotal:       4096 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\n");
  EXPECT_EQ(available_host_memory(root()), 2 * kMiB);
  be_v2("/");
  limit_v2("", bytes(1), 0);
  EXPECT_EQ(available_host_memory(root()), kMiB);
  limit_v2("", bytes(100), 0);
  EXPECT_EQ(available_host_memory(root()), 2 * kMiB);
}

TEST(System, ThisMachineHasMemoryAndAProcessor) {
  EXPECT_GT(available_host_memory(), 0u);
  EXPECT_LT(available_host_memory(), std::uint64_t{1} << 50);
  EXPECT_GE(available_threads(), 1);
}

}  // namespace
}  // namespace quern
