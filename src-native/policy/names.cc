// What concerns names: finding them, making them, taking them away, giving them others.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "fuse/rename_flags.h"
#include "policy/policy_fs.h"

namespace vfs::policy {

namespace {

HiddenLinks::File file_of(const abi::Attr& attr) { return {attr.ino, attr.ctime, attr.ctimensec}; }

}  // namespace

Result<abi::EntryOut> PolicyFs::admit(const fuse::Call& call, const Directory& in, std::string_view name,
                                      const abi::EntryOut& entry, const Reading* reading) {
  const std::uint64_t linked = number_if_linked(entry.attr);
  const bool is_hidden = linked != 0 && is_hidden_link(call, root_state(), file_of(entry.attr));
  const auto verdict = is_hidden ? Result<Verdict>(Errno(ENOENT))
                                 : nodes_.add(in, {entry.nodeid, name, S_ISDIR(entry.attr.mode), linked, reading});
  if (!verdict.ok()) {
    below_.forget(call, entry.nodeid, 1);
    return verdict.error();
  }
  abi::EntryOut out = entry;
  show(out.attr, verdict.value());
  shorten(out);
  return out;
}

Result<abi::EntryOut> PolicyFs::look_up(const fuse::Call& call, const Directory& in, const fuse::Name& name) {
  if (in.state->verdict.hidden) return Errno(ENOENT);
  // The file system below is not even asked for what is hidden whatever it is.
  const Reading reading = in.rules().read(*in.state, name.text());
  if (in.rules().hiding(reading).always()) return Errno(ENOENT);
  VFS_TRY(auto entry, below_.lookup(call, name));
  if (entry.nodeid != 0) return admit(call, in, name.text(), entry, &reading);
  shorten(entry);
  return entry;
}

Result<abi::EntryOut> PolicyFs::lookup(const fuse::Call& call, const fuse::Name& name) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory in, nodes_.directory(call.nodeid));
  return look_up(call, in, name);
}

Result<abi::EntryOut> PolicyFs::lookup_self(const fuse::Call& call) {
  const auto verdict = visible(call, call.nodeid);
  // The guest has a file handle and nothing else: the answer to one that is not good any more.
  if (!verdict.ok()) return Errno(ESTALE);
  VFS_TRY(auto entry, below_.lookup_self(call));
  if (!nodes_.count(entry.nodeid).ok()) {
    below_.forget(call, entry.nodeid, 1);
    return Errno(ESTALE);
  }
  show(entry.attr, verdict.value().verdict);
  shorten(entry);
  return entry;
}

Result<abi::EntryOut> PolicyFs::lookup_parent(const fuse::Call& call) {
  const std::shared_lock lock(names_mutex_);
  if (!visible(call, call.nodeid).ok()) return Errno(ESTALE);
  const auto parent = nodes_.parent(call.nodeid);
  if (!parent.ok() || parent.value().state->verdict.hidden) return Errno(ESTALE);
  VFS_TRY(auto entry, below_.lookup_parent(call));
  // Nothing is known of another directory, to which the host has moved this one, unless the guest has found its way.
  if (nodes_.count(entry.nodeid).ok()) {
    const auto verdict = visible(call, entry.nodeid);
    if (verdict.ok()) {
      shorten(entry);
      return entry;
    }
    forget(call, entry.nodeid, 1);
    return Errno(ESTALE);
  }
  below_.forget(call, entry.nodeid, 1);
  return Errno(ESTALE);
}

// The name is taken by what would be hidden under it, whatever its type: no guest learns by trying whether it is there.
Result<Verdict> PolicyFs::vacancy(const Directory& in, std::string_view name) const {
  if (in.state->verdict.hidden) return Errno(ENOENT);
  const Reading reading = in.rules().read(*in.state, name);
  if (in.rules().hiding(reading).somehow()) return Errno(EACCES);
  return in.rules().judge(*in.state, reading, false);
}

Status PolicyFs::check_creation(const Verdict& verdict, Permission permission, std::uint32_t mode) {
  VFS_CHECK(verdict.check(Permission::kCreate));
  VFS_CHECK(verdict.check(permission));
  if (S_ISDIR(mode) || (mode & kSetidBits) == 0) return Unit{};
  return verdict.check(Permission::kSetuid);
}

template <typename Make>
Result<abi::EntryOut> PolicyFs::make(const fuse::Call& call, const fuse::Name& name, Permission permission,
                                     std::uint32_t mode, Make make) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory in, nodes_.directory(call.nodeid));
  VFS_TRY(Verdict verdict, vacancy(in, name.text()));
  if (S_ISDIR(mode)) verdict = in.rules().judge(*in.state, name.text(), true);
  VFS_CHECK(check_creation(verdict, permission, mode));
  const auto entry = with_name([&] { return make(verdict.umask); });
  return entry.ok() ? admit(call, in, name.text(), entry.value()) : taken(call, in, name, entry.error());
}

Result<abi::EntryOut> PolicyFs::symlink(const fuse::Call& call, const fuse::Name& name, const fuse::LinkTarget& target,
                                        const fuse::Creation& creation) {
  return make(call, name, Permission::kSymlink, S_IFLNK,
              [&](std::uint32_t) { return below_.symlink(call, name, target, creation); });
}

Result<abi::EntryOut> PolicyFs::mknod(const fuse::Call& call, const abi::MknodIn& in, const fuse::Name& name,
                                      const fuse::Creation& creation) {
  const std::uint32_t type = in.mode & S_IFMT;
  const bool is_device = type == S_IFCHR || type == S_IFBLK;
  return make(call, name, is_device ? Permission::kDevice : Permission::kCreate, in.mode, [&](std::uint32_t umask) {
    abi::MknodIn made = in;
    made.mode &= ~umask;
    return below_.mknod(call, made, name, creation);
  });
}

Result<abi::EntryOut> PolicyFs::mkdir(const fuse::Call& call, const abi::MkdirIn& in, const fuse::Name& name,
                                      const fuse::Creation& creation) {
  return make(call, name, Permission::kCreate, S_IFDIR | in.mode, [&](std::uint32_t umask) {
    abi::MkdirIn made = in;
    made.mode &= ~umask;
    return below_.mkdir(call, made, name, creation);
  });
}

Errno PolicyFs::taken(const fuse::Call& call, const Directory& in, const fuse::Name& name, Errno error) {
  if (error != Errno(EEXIST) || !in.rules().guards_links()) return error;
  const auto there = peek(call, in, name);
  return !there.ok() && there.error() == Errno(ENOENT) ? Errno(EACCES) : error;
}

Status PolicyFs::unlink(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const Directory in, nodes_.directory(call.nodeid));
  const Verdict verdict = in.rules().judge(*in.state, name.text(), false);
  if (in.state->verdict.hidden) return Errno(ENOENT);
  if (verdict.hidden) return hidden_or_else(call, in, name, EISDIR);
  // What is not there is not refused either.
  const Status allowed = verdict.check(Permission::kDelete);
  if (!allowed.ok() || in.rules().guards_links()) VFS_CHECK(peek(call, in, name));
  VFS_CHECK(allowed);
  const Status removed = below_.unlink(call, name);
  if (removed.ok()) limits_.names.give_back(1);
  return !removed.ok() && removed.error() == Errno(EISDIR) ? hidden_or_else(call, in, name, EISDIR) : removed;
}

Status PolicyFs::rmdir(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const Directory in, nodes_.directory(call.nodeid));
  const Verdict verdict = in.rules().judge(*in.state, name.text(), true);
  if (in.state->verdict.hidden) return Errno(ENOENT);
  if (verdict.hidden) return hidden_or_else(call, in, name, ENOTDIR);
  const Status allowed = verdict.check(Permission::kDelete);
  if (!allowed.ok()) VFS_CHECK(peek(call, in, name));
  VFS_CHECK(allowed);
  const Status removed = below_.rmdir(call, name);
  if (removed.ok()) limits_.names.give_back(1);
  return !removed.ok() && removed.error() == Errno(ENOTDIR) ? hidden_or_else(call, in, name, ENOTDIR) : removed;
}

// Something is of the wrong type to be removed, or would be hidden if it were of the right one: what that is to the
// guest.
Status PolicyFs::hidden_or_else(const fuse::Call& call, const Directory& in, const fuse::Name& name, int wrong_type) {
  VFS_TRY(const Peeked there, peek(call, in, name));
  return Errno(there.is_directory == (wrong_type == EISDIR) ? wrong_type : ENOENT);
}

Result<PolicyFs::Peeked> PolicyFs::peek(const fuse::Call& call, const Directory& in, const fuse::Name& name) {
  fuse::Call there = call;
  there.nodeid = in.node->id();
  VFS_TRY(const auto entry, look_up(there, in, name));
  if (entry.nodeid == 0) return Errno(ENOENT);
  const Peeked peeked{entry.nodeid, S_ISDIR(entry.attr.mode),
                      in.rules().judge(*in.state, name.text(), S_ISDIR(entry.attr.mode)), number_if_linked(entry.attr)};
  forget(there, entry.nodeid, 1);
  return peeked;
}

// Whatever the type: a guest cannot change it between this and the rename.
Status PolicyFs::check_border(const Directory& from, std::string_view name, const Directory& to,
                              std::string_view new_name) {
  if (from.state->rules != to.state->rules) return Errno(EXDEV);  // replaced just now
  const Rules& rules = from.rules();
  const bool same = rules.judge(*from.state, name, false) == rules.judge(*to.state, new_name, false) &&
                    rules.enter(from.state, name)->same_place(*rules.enter(to.state, new_name));
  return same ? ok_status() : Status(Errno(EXDEV));
}

// A whiteout is a device node that takes the old name, whatever had it.
Status PolicyFs::check_whiteout(const Directory& in, std::string_view name) const {
  VFS_TRY(const Verdict verdict, vacancy(in, name));
  return check_creation(verdict, Permission::kDevice, S_IFCHR);
}

Status PolicyFs::rename(const fuse::Call& call, const abi::Rename2In& in, const fuse::Name& from,
                        const fuse::Name& to) {
  VFS_CHECK(fuse::check_rename_flags(in.flags));
  const std::unique_lock lock(names_mutex_);
  VFS_TRY(const Directory source, nodes_.directory(call.nodeid));
  VFS_TRY(const Directory target, nodes_.directory(in.newdir));
  VFS_TRY(const Peeked moved, peek(call, source, from));
  VFS_CHECK(vacancy(target, to.text()));
  VFS_CHECK(check_border(source, from.text(), target, to.text()));
  VFS_CHECK(moved.verdict.check(Permission::kRename));
  const bool leaves_whiteout = (in.flags & RENAME_WHITEOUT) != 0;
  if (leaves_whiteout) VFS_CHECK(check_whiteout(source, from.text()));
  const auto other = peek(call, target, to);
  if (!other.ok() && other.error() != Errno(ENOENT)) return other.error();
  if (!other.ok() && target.rules().guards_links()) {
    fuse::Call there = call;
    there.nodeid = in.newdir;
    if (const auto hidden = below_.lookup(there, to); hidden.ok() && hidden.value().nodeid != 0) {
      below_.forget(there, hidden.value().nodeid, 1);
      return Errno(EACCES);
    }
  }
  if (other.ok() && (in.flags & RENAME_NOREPLACE) != 0) return Errno(EEXIST);
  const bool exchanges = (in.flags & RENAME_EXCHANGE) != 0;
  if (other.ok()) VFS_CHECK(other.value().verdict.check(exchanges ? Permission::kRename : Permission::kDelete));
  // One name, or two of one file: rename(2) does nothing then, and both stay.
  const bool is_one_name = call.nodeid == in.newdir && from.text() == to.text();
  const bool is_same = other.ok() && (is_one_name || (moved.linked != 0 && moved.linked == other.value().linked));
  if (is_same) return below_.rename(call, in, from, to);
  const auto rename_below = [&] { return below_.rename(call, in, from, to); };
  VFS_CHECK(leaves_whiteout ? with_name(rename_below) : rename_below());
  nodes_.moved(moved.id, target, to.text());
  if (exchanges && other.ok()) nodes_.moved(other.value().id, source, from.text());
  if (!exchanges && other.ok()) limits_.names.give_back(1);
  return Unit{};
}

Result<abi::EntryOut> PolicyFs::link(const fuse::Call& call, const abi::LinkIn& in, const fuse::Name& name) {
  const std::unique_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, nodes_.directory(call.nodeid));
  VFS_TRY(const auto judged, visible(call, in.oldnodeid));
  VFS_TRY(const Verdict wanted, vacancy(directory, name.text()));
  if (!(judged.verdict == wanted)) return Errno(EXDEV);
  VFS_CHECK(wanted.check(Permission::kCreate));
  VFS_CHECK(wanted.check(Permission::kLink));
  const auto made = with_name([&] { return below_.link(call, in, name); });
  if (!made.ok()) return taken(call, directory, name, made.error());
  const abi::EntryOut& entry = made.value();
  // It was visible, and gets a name that is; the search that its new ctime would cause would find nothing.
  const std::uint64_t number = number_if_linked(entry.attr);
  const auto known = nodes_.add(directory, {entry.nodeid, name.text(), S_ISDIR(entry.attr.mode), number});
  if (!known.ok()) {
    below_.forget(call, entry.nodeid, 1);
    return known.error();
  }
  abi::EntryOut out = entry;
  show(out.attr, known.value());
  shorten(out);
  return out;
}

}  // namespace vfs::policy
