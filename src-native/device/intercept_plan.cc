#include "device/intercept_plan.h"

#include <algorithm>
#include <bit>

namespace vfs::device {

namespace {

using abi::Opcode;
using fuse::OpRow;
using fuse::Request;

// What the patterns of a plan see of an operation that has a name.
PathKind kind_of_named(Opcode opcode) {
  switch (opcode) {
    case Opcode::kLookup:
    case Opcode::kRename:
    case Opcode::kRename2:
    case Opcode::kLink:
      return PathKind::kEither;
    case Opcode::kMkdir:
    case Opcode::kRmdir:
      return PathKind::kDirectory;
    default:
      return PathKind::kOther;
  }
}

Result<Place> place_of_node(policy::PolicyFs& policy, std::uint64_t id) {
  VFS_TRY(std::string path, policy.path_of(id));
  VFS_TRY(const bool is_directory, policy.is_directory(id));
  return Place{std::move(path), is_directory ? PathKind::kDirectory : PathKind::kOther};
}

Result<Place> place_of_name(policy::PolicyFs& policy, std::uint64_t directory, std::string_view name, PathKind kind) {
  VFS_TRY(std::string path, policy.path_of(directory));
  if (path.size() > 1) path += '/';
  path += name;
  return Place{std::move(path), kind};
}

// LOOKUP of "." and "..".
Result<Place> place_of_dots(policy::PolicyFs& policy, std::uint64_t directory, fuse::Dots dots) {
  VFS_TRY(std::string path, policy.path_of(directory));
  if (dots == fuse::Dots::kParent) path.resize(std::max<std::size_t>(path.rfind('/'), 1));
  return Place{std::move(path), PathKind::kDirectory};
}

Result<Places> named_place(const Request& request, policy::PolicyFs& policy) {
  const std::uint64_t node = request.header().nodeid;
  const OpRow& row = *request.row();
  fuse::Decoder decoder = request.decoder();
  VFS_CHECK(decoder.take_bytes(row.fixed_bytes));
  if (row.opcode == Opcode::kLookup) {
    if (const fuse::Dots dots = decoder.take_dots(); dots != fuse::Dots::kNone) {
      VFS_TRY(Place at, place_of_dots(policy, node, dots));
      return Places{std::move(at), std::nullopt};
    }
  }
  VFS_TRY(const fuse::Name name, decoder.take_name());
  VFS_TRY(Place at, place_of_name(policy, node, name.text(), kind_of_named(row.opcode)));
  return Places{std::move(at), std::nullopt};
}

Result<Places> renamed_places(const Request& request, policy::PolicyFs& policy) {
  fuse::Decoder decoder = request.decoder();
  // Of both structures the directory comes first.
  VFS_TRY(const auto in, fuse::Decoder(request.parameters()).take<abi::RenameIn>());
  VFS_CHECK(decoder.take_bytes(request.row()->fixed_bytes));
  VFS_TRY(const fuse::Name from, decoder.take_name());
  VFS_TRY(const fuse::Name to, decoder.take_name());
  VFS_TRY(Place at, place_of_name(policy, request.header().nodeid, from.text(), PathKind::kEither));
  VFS_TRY(Place target, place_of_name(policy, in.newdir, to.text(), PathKind::kEither));
  return Places{std::move(at), std::move(target)};
}

Result<Places> linked_places(const Request& request, policy::PolicyFs& policy) {
  fuse::Decoder decoder = request.decoder();
  VFS_TRY(const auto in, decoder.take<abi::LinkIn>());
  VFS_TRY(const fuse::Name name, decoder.take_name());
  VFS_TRY(Place at, place_of_node(policy, in.oldnodeid));
  VFS_TRY(Place to, place_of_name(policy, request.header().nodeid, name.text(), at.kind));
  return Places{std::move(at), std::move(to)};
}

Result<Places> copied_places(const Request& request, policy::PolicyFs& policy) {
  VFS_TRY(const auto in, request.decoder().take<abi::CopyFileRangeIn>());
  VFS_TRY(Place at, place_of_node(policy, request.header().nodeid));
  VFS_TRY(Place to, place_of_node(policy, in.nodeid_out));
  return Places{std::move(at), std::move(to)};
}

Result<Places> node_place(const Request& request, policy::PolicyFs& policy) {
  VFS_TRY(Place at, place_of_node(policy, request.header().nodeid));
  return Places{std::move(at), std::nullopt};
}

Result<Places> find_places(const Request& request, policy::PolicyFs& policy) {
  switch (request.row()->opcode) {
    case Opcode::kLookup:
    case Opcode::kSymlink:
    case Opcode::kMknod:
    case Opcode::kMkdir:
    case Opcode::kUnlink:
    case Opcode::kRmdir:
    case Opcode::kCreate:
    case Opcode::kOpenAtomic:
      return named_place(request, policy);
    case Opcode::kRename:
    case Opcode::kRename2:
      return renamed_places(request, policy);
    case Opcode::kLink:
      return linked_places(request, policy);
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
      return copied_places(request, policy);
    case Opcode::kStatfs:
    case Opcode::kSyncfs:
      // About the share, whatever node is named.
      return Places{Place{"/", PathKind::kDirectory}, std::nullopt};
    default:
      return node_place(request, policy);
  }
}

}  // namespace

std::optional<Places> places_of(const Request& request, policy::PolicyFs& policy) {
  auto places = find_places(request, policy);
  if (!places.ok()) return std::nullopt;
  return std::move(places).value();
}

// The second node of what has two; 0: it has one, or is malformed.
std::uint64_t second_node(const Request& request) {
  fuse::Decoder decoder = request.decoder();
  switch (request.row()->opcode) {
    case Opcode::kRename:
    case Opcode::kRename2: {
      const auto in = decoder.take<abi::RenameIn>();
      return in.ok() ? in.value().newdir : 0;
    }
    case Opcode::kLink: {
      const auto in = decoder.take<abi::LinkIn>();
      return in.ok() ? in.value().oldnodeid : 0;
    }
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64: {
      const auto in = decoder.take<abi::CopyFileRangeIn>();
      return in.ok() ? in.value().nodeid_out : 0;
    }
    default:
      return 0;
  }
}

bool asks_beyond_its_room(const Request& request) {
  fuse::Decoder decoder = request.decoder();
  const auto beyond = [&](const auto& in) { return in.ok() && in.value().size > request.room_bytes(); };
  switch (request.row()->opcode) {
    case Opcode::kRead:
      return beyond(decoder.take<abi::ReadIn>());
    case Opcode::kGetxattr:
    case Opcode::kListxattr:
      return beyond(decoder.take<abi::GetxattrIn>());
    default:
      return false;
  }
}

bool interceptable(const OpRow& row) { return row.answer == fuse::Answer::kReply && !row.before_init; }

InterceptPlan::InterceptPlan(const InterceptPlanSource& source) {
  VFS_ASSERT(source.sets.size() <= kHandlerSetsMax);
  policy::PolicySource paths{.rules = {}, .masks = {}, .ignore_case = source.ignore_case};
  for (std::size_t i = 0; i < source.sets.size(); ++i) {
    const HandlerSetSource& set = source.sets[i];
    const std::uint32_t bit = std::uint32_t{1} << i;
    for (const std::uint32_t opcode : set.opcodes) {
      const OpRow* row = fuse::find_op(opcode);
      if (row == nullptr || !interceptable(*row)) continue;
      if (source.virtual_set != i) operations_ |= std::uint64_t{1} << fuse::op_slot(row);
      sets_[fuse::op_slot(row)] |= bit;
    }
    terms_.push_back({set.deadline, set.verdict});
    for (const std::string& path : set.exactly) exactly_[path] |= bit;
    asks_for_paths_ = asks_for_paths_ || !set.everywhere;
    paths.rules.push_back({.effect = {.denies = bit}, .everywhere = set.everywhere, .patterns = set.patterns});
  }
  paths_ = policy::Rules::compile(paths, 0);
  if (!source.virtual_set.has_value()) return;
  virtual_sets_ = std::uint32_t{1} << *source.virtual_set;
  first_virtual_ = source.virtual_root ? abi::kRootId : policy::kFirstVirtualNode;
  for (const Opcode opcode :
       {Opcode::kRename, Opcode::kRename2, Opcode::kLink, Opcode::kCopyFileRange, Opcode::kCopyFileRange64}) {
    operations_ |= std::uint64_t{1} << fuse::slot_of_opcode(static_cast<std::uint32_t>(opcode));
  }
}

bool InterceptPlan::reaches_virtual(const Request& request) const { return is_virtual(second_node(request)); }

InterceptPlanSource InterceptPlan::everything() {
  HandlerSetSource set;
  set.everywhere = true;
  for (const OpRow& row : fuse::op_rows()) set.opcodes.push_back(static_cast<std::uint32_t>(row.opcode));
  return {.sets = {std::move(set)}};
}

std::uint32_t InterceptPlan::at(const Place& place) const {
  const auto exactly = exactly_.find(place.path);
  return by_pattern(place) | (exactly == exactly_.end() ? 0 : exactly->second);
}

std::uint32_t InterceptPlan::by_pattern(const Place& place) const {
  policy::StateRef directory = paths_->root();
  std::string_view rest(place.path);
  rest.remove_prefix(1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('/');
    const std::string_view name = rest.substr(0, end);
    if (end == std::string_view::npos) {
      std::uint32_t sets = 0;
      if (place.kind != PathKind::kOther) sets |= paths_->judge(*directory, name, true).denied;
      if (place.kind != PathKind::kDirectory) sets |= paths_->judge(*directory, name, false).denied;
      return sets;
    }
    directory = paths_->enter(directory, name);
    rest.remove_prefix(end + 1);
  }
  return directory->verdict.denied;
}

std::uint32_t InterceptPlan::concerned(const OpRow& row, const Places& places) const {
  const std::uint32_t sets = sets_[fuse::op_slot(&row)];
  if (!asks_for_paths_) return sets;
  std::uint32_t here = at(places.at);
  if (places.to.has_value()) here |= at(*places.to);
  return sets & here;
}

InterceptPlan::Terms InterceptPlan::terms(std::uint32_t sets) const {
  Terms shortest = terms_[static_cast<std::size_t>(std::countr_zero(sets))];
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    if ((sets >> i & 1U) != 0 && terms_[i].deadline < shortest.deadline) shortest = terms_[i];
  }
  for (std::size_t i = 0; i < terms_.size() && shortest.verdict == Errno(0); ++i) {
    if ((sets >> i & 1U) != 0) shortest.verdict = terms_[i].verdict;
  }
  return shortest;
}

}  // namespace vfs::device
