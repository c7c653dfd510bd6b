# stamp_fuzz(NAME SEEDS DIR... LIBS LIB...): builds NAME_fuzz.c, which defines
# LLVMFuzzerTestOneInput(), and the test fuzz/NAME.
#
# With STAMP_FUZZ the test fuzzes for up to 20 seconds, starting from the files in each DIR (relative
# to the top of the project), and `make fuzz` runs the same program for long. Without, it feeds the
# files to the target once. Crashes found become files in one of the DIRs.
function(stamp_fuzz name)
  cmake_parse_arguments(ARG "" "" "SEEDS;LIBS" ${ARGN})
  set(seeds)
  foreach(dir ${ARG_SEEDS})
    if(NOT IS_DIRECTORY ${CMAKE_SOURCE_DIR}/${dir})
      message(FATAL_ERROR "stamp_fuzz(${name}): no folder ${dir}")
    endif()
    list(APPEND seeds ${CMAKE_SOURCE_DIR}/${dir})
  endforeach()

  add_executable(${name}_fuzz ${name}_fuzz.c)
  target_link_libraries(${name}_fuzz PRIVATE ${ARG_LIBS} stamp_flags_host)
  set_target_properties(${name}_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  # For scripts/fuzz.
  list(JOIN seeds "\n" seed_lines)
  file(WRITE ${CMAKE_BINARY_DIR}/test/${name}_fuzz.seeds "${seed_lines}\n")

  if(STAMP_FUZZ)
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
    # libFuzzer writes what it finds to the first folder, which must not be one of the seeds.
    set(corpus ${CMAKE_BINARY_DIR}/test/${name}-corpus)
    file(MAKE_DIRECTORY ${corpus})
    add_test(NAME fuzz/${name} COMMAND ${name}_fuzz -max_total_time=20 -runs=200000 -seed=1
      -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
      -artifact_prefix=${CMAKE_BINARY_DIR}/test/${name}-crash- ${corpus} ${seeds})
  else()
    target_sources(${name}_fuzz PRIVATE ${CMAKE_SOURCE_DIR}/test/fuzz/replay.c)
    add_test(NAME fuzz/${name} COMMAND ${name}_fuzz ${seeds})
  endif()
endfunction()
