# Warnings and hardening of our own code; parts from outside (Mbed TLS) do not get the warnings.
add_library(stamp_flags INTERFACE)
target_compile_options(stamp_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align
  -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wswitch-enum)
if(STAMP_WERROR)
  target_compile_options(stamp_flags INTERFACE -Werror)
endif()

# Core and device: C99, as in firmware. Pointers are twice as large here as there; scripts/size checks
# the stack with the compilers of two chips.
add_library(stamp_flags_device INTERFACE)
target_link_libraries(stamp_flags_device INTERFACE stamp_flags)
target_compile_options(stamp_flags_device INTERFACE -std=c99
  $<$<C_COMPILER_ID:GNU>:-Wstack-usage=2048>)

# Host: POSIX and hardening.
add_library(stamp_flags_host INTERFACE)
target_link_libraries(stamp_flags_host INTERFACE stamp_flags)
target_compile_definitions(stamp_flags_host INTERFACE _GNU_SOURCE)
target_compile_options(stamp_flags_host INTERFACE -fstack-protector-strong -fPIE)
target_link_options(stamp_flags_host INTERFACE -pie -Wl,-z,relro,-z,now)
if(NOT STAMP_SANITIZE)
  target_compile_options(stamp_flags_host INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()

# Instrumentation is for everything that is built, Mbed TLS too.
if(STAMP_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(STAMP_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "STAMP_FUZZ needs clang, not ${CMAKE_C_COMPILER_ID}\n"
      "  try: cmake --preset asan")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
