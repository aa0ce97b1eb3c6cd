// RT_CHECK: what must hold if the program is right. Outside data never triggers one.
//
// A failed check prints the message, the thread and a backtrace to stderr and aborts, in release builds too.
// RT_DCHECK is for what is too costly in production; sanitizer and debug builds have it.
#pragma once

namespace rt {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace rt

#define RT_CHECK(condition) \
  (__builtin_expect(static_cast<bool>(condition), 1) ? void(0) : ::rt::check_failed(#condition, __FILE__, __LINE__))

#ifdef RT_DCHECKS
#define RT_DCHECK(condition) RT_CHECK(condition)
#else
#define RT_DCHECK(condition) (true ? void(0) : void(condition))
#endif
