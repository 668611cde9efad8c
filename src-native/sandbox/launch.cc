#include "sandbox/launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>

#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/closing.h"
#include "base/sys.h"
#include "base/sys_process.h"
#include "base/sys_sandbox.h"
#include "sandbox/capabilities.h"

namespace vfs::sandbox {

namespace {

enum class Step : std::int32_t { kNone, kIds, kMount, kChanger, kCapabilities, kDescriptors, kExecute };

constexpr int kChildFailed = 127;

// Everything that the child needs, made before it exists: it allocates nothing.
class Child {
 public:
  explicit Child(LaunchOptions options) : options_(std::move(options)), root_(options_.shares) {}

  Status open_channels() {
    // The child closes descriptors, and may be a copy from a moment when another thread had the allocator's lock.
    ClosingBurst::prepare_thread();
    VFS_TRY(go_, sys::pipe());
    VFS_TRY(failure_, sys::pipe());
    if (root_.changes()) {
      VFS_TRY(changer_, sys::socket_pair());
      options_.environment.push_back(std::string(kChangerVariable) + "=" + std::to_string(changer_[0].get()));
    }
    for (std::string& argument : options_.arguments) arguments_.push_back(argument.data());
    for (std::string& variable : options_.environment) environment_.push_back(variable.data());
    arguments_.push_back(nullptr);
    environment_.push_back(nullptr);
    return Unit{};
  }

  unsigned long namespaces() const { return options_.namespaces; }

  Launched take_channels(sys::StartedProcess&& started) {
    return {started.pid, std::move(started.watch), std::move(go_[1]), std::move(failure_[0])};
  }

  // In the child. Comes back from nothing.
  [[noreturn]] void run() {
    go_[1].reset();
    failure_[0].reset();
    sys::reset_signal_handlers();
    std::byte said{};
    const auto told = sys::read(go_[0].get(), MutableByteSpan(&said, 1));
    // The parent gave up, or is gone.
    if (!told.ok() || told.value() == 0) sys::end_process(kChildFailed);
    const Status failed = prepare();
    const LaunchFailure what{static_cast<std::int32_t>(step_), failed.ok() ? 0 : failed.error().value()};
    static_cast<void>(sys::write(failure_[1].get(), bytes_of(what)).ok());
    sys::end_process(kChildFailed);
  }

 private:
  // The steps in their order; `step_` says which one failed. It succeeds by not returning.
  Status prepare() {
    step_ = Step::kIds;
    if (options_.ids.has_value()) VFS_CHECK(become(*options_.ids));
    step_ = Step::kMount;
    if ((options_.namespaces & CLONE_NEWNS) != 0) VFS_CHECK(mount_all());
    step_ = Step::kChanger;
    if (root_.changes()) VFS_CHECK(start_changer());
    step_ = Step::kCapabilities;
    if (options_.capabilities.has_value()) VFS_CHECK(give_up_privileges(*options_.capabilities));
    // After everything that changes ids or capabilities, which clears it.
    VFS_CHECK(sys::die_with_parent());
    if (sys::reader_gone(failure_[1].get())) sys::end_process(kChildFailed);
    step_ = Step::kDescriptors;
    // What whoever started the command forgot to close is not for the sandbox.
    VFS_CHECK(sys::lose_at_exec(3));
    VFS_CHECK(sys::leave_process_group());
    for (const int fd : {0, 1, 2}) static_cast<void>(sys::keep_at_exec(fd).ok());  // one may be closed
    for (const int fd : options_.descriptors) VFS_CHECK(sys::keep_at_exec(fd));
    if (root_.changes()) VFS_CHECK(sys::keep_at_exec(changer_[0].get()));
    step_ = Step::kExecute;
    VFS_CHECK(sys::unblock_signals());
    return sys::execute(arguments_[0], arguments_.data(), environment_.data());
  }

  static Status become(const LaunchOptions::Ids& ids) {
    // Refused where the namespace was made by an ordinary user: its groups give nothing that the user has not anyway.
    const auto dropped = sys::set_supplementary_groups({});
    if (!dropped.ok() && dropped.error() != Errno(EPERM)) return dropped;
    VFS_CHECK(sys::keep_capabilities());
    VFS_CHECK(sys::set_group_ids(ids.gid));
    VFS_CHECK(sys::set_user_ids(ids.uid));
    return sys::set_effective_capabilities(~std::uint64_t{0});
  }

  Status mount_all() {
    VFS_CHECK(root_.assemble());
    if ((options_.namespaces & CLONE_NEWPID) == 0) return Unit{};
    // One that shows the new processes alone. Where a container covers parts of its own, the kernel refuses another,
    // and the one that is there works as well: only what the program itself is said to be is read there.
    static_cast<void>(sys::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr).ok());
    return Unit{};
  }

  Status start_changer() {
    VFS_TRY(const auto started, sys::start_process(0));
    if (started.pid != 0) {
      changer_[1].reset();
      return Unit{};
    }
    serve_one_change(changer_[1].get());
  }

  [[noreturn]] void serve_one_change(int channel) const {
    // It has copies of all that the parent has open.
    const auto number = static_cast<unsigned>(channel);
    if (number > 0) static_cast<void>(sys::close_range(0, number - 1).ok());
    static_cast<void>(sys::close_range(number + 1, ~0U).ok());
    static_cast<void>(sys::die_with_parent().ok());
    std::byte asked{};
    const auto told = sys::read(channel, MutableByteSpan(&asked, 1));
    if (!told.ok() || told.value() == 0) sys::end_process(0);
    const Status changed = root_.change();
    const std::int32_t error = changed.ok() ? 0 : changed.error().value();
    static_cast<void>(sys::write(channel, bytes_of(error)).ok());
    sys::end_process(0);
  }

  Status give_up_privileges(std::uint64_t kept) const {
    VFS_CHECK(limit_capabilities(kept));
    // Another than root has at exec(2) what is ambient, and root what is in the bounding set.
    if (options_.ids.has_value() && options_.ids->uid != 0) VFS_CHECK(keep_at_exec());
    return sys::set_no_new_privileges();
  }

  static Status keep_at_exec() {
    VFS_TRY(auto sets, sys::capabilities());
    sets.inheritable = sets.permitted;
    VFS_CHECK(sys::set_capabilities(sets));
    for (int capability = 0; capability < 64; ++capability) {
      if (((sets.permitted >> capability) & 1U) != 0) VFS_CHECK(sys::raise_ambient_capability(capability));
    }
    return Unit{};
  }

  LaunchOptions options_;
  NewRoot root_;
  std::vector<char*> arguments_;
  std::vector<char*> environment_;
  std::array<UniqueFd, 2> go_;
  std::array<UniqueFd, 2> failure_;
  std::array<UniqueFd, 2> changer_;  // the program's end, and the changer's
  Step step_ = Step::kNone;
};

}  // namespace

const char* launch_step_name(std::int32_t step) {
  switch (static_cast<Step>(step)) {
    case Step::kNone:
      break;
    case Step::kIds:
      return "setresuid";
    case Step::kMount:
      return "mount";
    case Step::kChanger:
      return "clone";
    case Step::kCapabilities:
      return "capset";
    case Step::kDescriptors:
      return "fcntl";
    case Step::kExecute:
      return "execve";
  }
  return "launch";
}

Result<Launched> launch(LaunchOptions options) {
  Child child(std::move(options));
  VFS_CHECK(child.open_channels());
  // A signal handler of the parent must not run in the child, where it would speak for the parent.
  VFS_CHECK(sys::block_signals());
  auto started = sys::start_process(child.namespaces());
  if (started.ok() && started.value().pid == 0) child.run();
  const Status unblocked = sys::unblock_signals();
  if (!started.ok()) return started.error();
  VFS_CHECK(unblocked);
  return child.take_channels(std::move(started).value());
}

Status change_root_by(int changer) {
  const std::byte go{1};
  VFS_CHECK(sys::write(changer, ByteSpan(&go, 1)));
  std::array<std::byte, sizeof(std::int32_t)> answer;
  VFS_TRY(const std::size_t length, sys::read(changer, answer));
  if (length != answer.size()) return Errno(ESRCH);  // it is gone
  if (const auto error = value_from<std::int32_t>(answer); error != 0) return Errno(error);
  // The changer, our only child, has nothing more to do.
  VFS_CHECK(sys::wait_for_any());
  // Not changed for us: it was not the old root, but somewhere below it.
  return sys::change_directory("/");
}

}  // namespace vfs::sandbox
