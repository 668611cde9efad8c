// A directory of its own for a test, removed with everything in it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace vfs::test {

class TempDir {
 public:
  // `parent` chooses the file system.
  explicit TempDir(const std::string& parent = std::filesystem::temp_directory_path().string())
      : path_(parent + "/vfs-test-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr) << path_;
    // Tests act as other users too.
    ::chmod(path_.c_str(), 0755);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace vfs::test
