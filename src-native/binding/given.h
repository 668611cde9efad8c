// Given: reads what TypeScript has checked: the properties of an object, by name.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace vfs::binding {

class Given {
 public:
  explicit Given(const Napi::Object& object) : object_(object) {}

  std::string text(const char* name) const { return object_.Get(name).As<Napi::String>().Utf8Value(); }
  bool flag(const char* name) const { return object_.Get(name).As<Napi::Boolean>().Value(); }
  std::int32_t integer(const char* name) const { return object_.Get(name).As<Napi::Number>().Int32Value(); }
  std::uint32_t number(const char* name) const { return object_.Get(name).As<Napi::Number>().Uint32Value(); }
  double real(const char* name) const { return object_.Get(name).As<Napi::Number>().DoubleValue(); }
  std::uint64_t nanoseconds(const char* milliseconds) const {
    return static_cast<std::uint64_t>(real(milliseconds) * 1e6 + 0.5);
  }
  Given object(const char* name) const { return Given(object_.Get(name).As<Napi::Object>()); }

  // What make(element) says of each element of an array.
  template <typename Element, typename Make>
  auto each(const char* name, Make make) const {
    std::vector<decltype(make(Element()))> made;
    const auto array = object_.Get(name).As<Napi::Array>();
    for (std::uint32_t i = 0; i < array.Length(); ++i) made.push_back(make(array.Get(i).As<Element>()));
    return made;
  }
  // The same of objects: make(Given).
  template <typename Make>
  auto list(const char* name, Make make) const {
    return each<Napi::Object>(name, [&](const Napi::Object& element) { return make(Given(element)); });
  }
  std::vector<std::uint32_t> numbers(const char* name) const {
    return each<Napi::Number>(name, [](const Napi::Number& number) { return number.Uint32Value(); });
  }
  std::vector<std::string> texts(const char* name) const {
    return each<Napi::String>(name, [](const Napi::String& text) { return text.Utf8Value(); });
  }

 private:
  Napi::Object object_;
};

}  // namespace vfs::binding
