#include "binding/tables.h"

#include <bit>

#include "fuse/init_flags.h"
#include "fuse/op_table.h"

namespace vfs::binding {

namespace {

Napi::Value fuse_operations(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array operations = Napi::Array::New(env);
  for (const fuse::OpRow& row : fuse::op_rows()) {
    Napi::Object operation = Napi::Object::New(env);
    operation.Set("opcode", Napi::Number::New(env, static_cast<std::uint32_t>(row.opcode)));
    operation.Set("name", Napi::String::New(env, row.name));
    operation.Set("sinceMinor", Napi::Number::New(env, row.since_minor));
    operations.Set(operations.Length(), operation);
  }
  return operations;
}

Napi::Value fuse_init_flags(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array flags = Napi::Array::New(env);
  for (const fuse::InitFlagRow& row : fuse::init_flag_rows()) {
    Napi::Object flag = Napi::Object::New(env);
    flag.Set("bit", Napi::Number::New(env, std::countr_zero(row.flag)));
    flag.Set("name", Napi::String::New(env, row.name));
    flag.Set("sinceMinor", Napi::Number::New(env, row.since_minor));
    flag.Set("when", Napi::String::New(env, row.when));
    flags.Set(flags.Length(), flag);
  }
  return flags;
}

}  // namespace

void define_tables(Napi::Env env, Napi::Object exports) {
  exports.Set("fuseOperations", Napi::Function::New<fuse_operations>(env, "fuseOperations"));
  exports.Set("fuseInitFlags", Napi::Function::New<fuse_init_flags>(env, "fuseInitFlags"));
}

}  // namespace vfs::binding
