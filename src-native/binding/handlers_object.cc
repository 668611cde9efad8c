#include "binding/handlers_object.h"

#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "binding/environment.h"
#include "binding/errors.h"
#include "binding/given.h"
#include "binding/policy_options.h"

namespace vfs::binding {

namespace {

// Of all environments. Never destroyed: environments may end after the process's own statics.
struct Tokens {
  std::mutex mutex;
  std::uint64_t last = 0;
  std::map<std::uint64_t, std::weak_ptr<device::Interceptor>> interceptors;

  static Tokens& all() {
    static auto* const tokens = new Tokens;
    return *tokens;
  }
};

std::uint64_t id_of(const Napi::Value& value) {
  return static_cast<std::uint64_t>(value.As<Napi::Number>().Int64Value());
}

std::shared_ptr<device::Interceptor> find_token(const Napi::Value& value) {
  Tokens& tokens = Tokens::all();
  const std::lock_guard lock(tokens.mutex);
  const auto found = tokens.interceptors.find(id_of(value));
  return found == tokens.interceptors.end() ? nullptr : found->second.lock();
}

std::vector<std::byte> bytes_of(const Napi::Value& value) {
  const auto given = value.As<Napi::Uint8Array>();
  const auto* start = reinterpret_cast<const std::byte*>(given.Data());
  return {start, start + given.ByteLength()};
}

Napi::Value buffer_of(Napi::Env env, std::string_view bytes) {
  return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size());
}

Napi::Value buffer_or_undefined(Napi::Env env, const std::optional<std::vector<std::byte>>& bytes) {
  return bytes.has_value() ? buffer_of(env, text_of(*bytes)) : env.Undefined();
}

void describe_request(Napi::Env env, const device::InterceptEvent& event, Napi::Object& object) {
  object.Set("type", "request");
  object.Set("plan", Napi::Number::New(env, static_cast<double>(event.plan)));
  object.Set("sets", Napi::Number::New(env, event.sets));
  std::vector<std::byte> message(sizeof(event.header));
  copy_bytes(message, vfs::bytes_of(event.header));
  message.insert(message.end(), event.parameters.begin(), event.parameters.end());
  object.Set("message", buffer_of(env, text_of(message)));
  object.Set("initFlags", Napi::BigInt::New(env, event.init_flags));
  object.Set("path", buffer_of(env, event.places.at.path));
  if (event.places.to.has_value()) object.Set("newPath", buffer_of(env, event.places.to->path));
  object.Set("dataBytes", Napi::Number::New(env, event.data_bytes));
  object.Set("roomBytes", Napi::Number::New(env, event.room_bytes));
}

// Pairs, one behind the other.
Napi::Value numbers_of(Napi::Env env, const std::vector<std::pair<std::uint64_t, std::uint64_t>>& pairs) {
  Napi::BigUint64Array numbers = Napi::BigUint64Array::New(env, pairs.size() * 2);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    numbers[2 * i] = pairs[i].first;
    numbers[2 * i + 1] = pairs[i].second;
  }
  return numbers;
}

Napi::Object describe(Napi::Env env, const device::InterceptEvent& event) {
  using Kind = device::InterceptEvent::Kind;
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", Napi::Number::New(env, static_cast<double>(event.id)));
  if (event.kind == Kind::kRequest) {
    describe_request(env, event, object);
    return object;
  }
  if (event.kind == Kind::kSession) {
    object.Set("type", "session");
    return object;
  }
  if (event.kind == Kind::kForgotten) {
    object.Set("type", "forgotten");
    object.Set("nodes", numbers_of(env, event.nodes));
    return object;
  }
  object.Set("type", event.kind == Kind::kReply ? "reply" : "abandoned");
  object.Set("errno", Napi::Number::New(env, event.error));
  if (event.kind == Kind::kReply) {
    object.Set("payloadBytes", Napi::Number::New(env, event.payload_bytes));
    if (event.payload.size() == event.payload_bytes) object.Set("payload", buffer_of(env, text_of(event.payload)));
  }
  return object;
}

device::HandlerSetSource set_from(const Given& given) {
  return {.opcodes = given.numbers("opcodes"),
          .everywhere = given.flag("everywhere"),
          .patterns = patterns_from(given),
          .exactly = given.texts("exactly"),
          .deadline = std::chrono::milliseconds(given.number("deadlineMs")),
          .verdict = Errno(given.integer("verdict"))};
}

}  // namespace

double token_of(const std::shared_ptr<device::Interceptor>& interceptor) {
  if (interceptor == nullptr) return 0;
  Tokens& tokens = Tokens::all();
  const std::lock_guard lock(tokens.mutex);
  std::erase_if(tokens.interceptors, [](const auto& each) { return each.second.expired(); });
  for (const auto& [token, known] : tokens.interceptors) {
    if (known.lock() == interceptor) return static_cast<double>(token);
  }
  tokens.interceptors.emplace(++tokens.last, interceptor);
  return static_cast<double>(tokens.last);
}

Napi::Value attach_handlers(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto interceptor = find_token(info[0]);
  if (interceptor == nullptr) return throw_code(env, "ERR_VIRTIOFS_CLOSED", "the device has been closed");
  Napi::Object object = Environment::of(env).handlers_class.New({});
  const bool referenced = info[1].As<Napi::Boolean>().Value();
  const Status attached =
      HandlersObject::Unwrap(object)->attach(env, std::move(interceptor), info[2].As<Napi::Function>(), referenced);
  if (attached.ok()) return object;
  if (attached.error() == Errno(EBUSY)) {
    return throw_code(env, "ERR_VIRTIOFS_HANDLERS_ATTACHED", "the device has handlers already");
  }
  if (attached.error() == Errno(EIO)) return throw_code(env, "ERR_VIRTIOFS_CLOSED", "the device has been closed");
  return throw_system(env, attached.error(), "pthread_create");
}

Napi::Function HandlersObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeHandlers",
      {InstanceMethod<&HandlersObject::set_plan>("setPlan"), InstanceMethod<&HandlersObject::proceed>("proceed"),
       InstanceMethod<&HandlersObject::refuse>("refuse"), InstanceMethod<&HandlersObject::answer>("answer"),
       InstanceMethod<&HandlersObject::let_pass>("letPass"), InstanceMethod<&HandlersObject::data>("data"),
       InstanceMethod<&HandlersObject::reply>("reply"), InstanceMethod<&HandlersObject::detach>("detach")});
}

HandlersObject::HandlersObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HandlersObject>(info) {}

HandlersObject::~HandlersObject() { shut_down(); }

Status HandlersObject::attach(Napi::Env env, std::shared_ptr<device::Interceptor> interceptor, Napi::Function on_events,
                              bool referenced) {
  events_ = Events::New(env, on_events, "virtio-fs:handlers", 0, 1, this);
  if (!referenced) events_.Unref(env);
  if (const Status attached = interceptor->attach(*this); !attached.ok()) {
    events_.Abort();
    return attached;
  }
  interceptor_ = std::move(interceptor);
  // Hooks run last in, first out: nobody calls the thread-safe function when it goes.
  napi_add_env_cleanup_hook(env, &HandlersObject::at_exit, this);
  return Unit{};
}

void HandlersObject::at_exit(void* self) { static_cast<HandlersObject*>(self)->shut_down(); }

void HandlersObject::shut_down() {
  const auto interceptor = std::exchange(interceptor_, nullptr);
  if (interceptor == nullptr) return;
  napi_remove_env_cleanup_hook(Env(), &HandlersObject::at_exit, this);
  interceptor->detach(*this);
  events_.Abort();
}

void HandlersObject::events_waiting() { events_.NonBlockingCall(nullptr); }

void HandlersObject::deliver(Napi::Env env, Napi::Function callback, HandlersObject* self, void*) {
  if (static_cast<napi_env>(env) == nullptr || self->interceptor_ == nullptr) return;
  const std::vector<device::InterceptEvent> events = self->interceptor_->take_events();
  Napi::Array array = Napi::Array::New(env, events.size());
  for (std::uint32_t i = 0; i < events.size(); ++i) array.Set(i, describe(env, events[i]));
  callback.Call({array});
}

Napi::Value HandlersObject::set_plan(const Napi::CallbackInfo& info) {
  if (interceptor_ == nullptr) return Napi::Number::New(info.Env(), 0);
  const Given given(info[0].As<Napi::Object>());
  device::InterceptPlanSource plan{.sets = given.list("sets", set_from), .ignore_case = given.flag("ignoreCase")};
  if (const int set = given.integer("virtualSet"); set >= 0) plan.virtual_set = static_cast<std::size_t>(set);
  plan.virtual_root = given.flag("virtualRoot");
  const std::uint64_t number = interceptor_->set_plan(plan);
  return Napi::Number::New(info.Env(), static_cast<double>(number));
}

Napi::Value HandlersObject::proceed(const Napi::CallbackInfo& info) {
  if (interceptor_ == nullptr) return Napi::Boolean::New(info.Env(), false);
  device::Interceptor::Changes changes;
  if (info[1].IsTypedArray()) changes.parameters = bytes_of(info[1]);
  if (info[2].IsTypedArray()) changes.data = bytes_of(info[2]);
  return Napi::Boolean::New(info.Env(), interceptor_->proceed(id_of(info[0]), std::move(changes)));
}

Napi::Value HandlersObject::refuse(const Napi::CallbackInfo& info) {
  const Errno error(info[1].As<Napi::Number>().Int32Value());
  return Napi::Boolean::New(info.Env(), interceptor_ != nullptr && interceptor_->refuse(id_of(info[0]), error));
}

Napi::Value HandlersObject::answer(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            interceptor_ != nullptr && interceptor_->answer(id_of(info[0]), bytes_of(info[1])));
}

Napi::Value HandlersObject::let_pass(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), interceptor_ != nullptr && interceptor_->let_pass(id_of(info[0])));
}

Napi::Value HandlersObject::data(const Napi::CallbackInfo& info) {
  if (interceptor_ == nullptr) return info.Env().Undefined();
  return buffer_or_undefined(info.Env(), interceptor_->data(id_of(info[0])));
}

Napi::Value HandlersObject::reply(const Napi::CallbackInfo& info) {
  if (interceptor_ == nullptr) return info.Env().Undefined();
  return buffer_or_undefined(info.Env(), interceptor_->reply(id_of(info[0])));
}

Napi::Value HandlersObject::detach(const Napi::CallbackInfo& info) {
  shut_down();
  return info.Env().Undefined();
}

}  // namespace vfs::binding
